//! Which roles a node has: all of them on one machine, any of them on Kafka.

use clap::ValueEnum;

use crate::config::Config;
use crate::exit::{Code, Failure};

/// What a node can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Takes events over HTTP.
    Collector,
    /// Runs pipelines.
    Clean,
    /// Fills tables.
    Sink,
}

/// The roles of a node; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles(u8);

impl Roles {
    /// Takes what `--roles` says; nothing said is every role.
    ///
    /// On the journal a node has every role: nobody else could have the rest.
    pub(crate) fn of(said: &[Role], config: &Config) -> Result<Self, Failure> {
        let all = Self::from(<Role as ValueEnum>::value_variants());
        let roles = if said.is_empty() { all } else { Self::from(said) };
        if roles != all && config.kafka.is_none() {
            let message = "--roles: the embedded journal belongs to one process, which has every \
                           role";
            let hint = "name the brokers of a Kafka cluster under `kafka`, which several workers \
                        share, or leave --roles out";
            return Err(Failure::message(Code::Usage, message).with_hint(hint));
        }
        Ok(roles)
    }

    /// Returns whether `role` is among them.
    pub(crate) fn has(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }
}

impl From<&[Role]> for Roles {
    fn from(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | bit(*role)))
    }
}

fn bit(role: Role) -> u8 {
    match role {
        Role::Collector => 1,
        Role::Clean => 2,
        Role::Sink => 4,
    }
}

#[cfg(test)]
mod tests;
