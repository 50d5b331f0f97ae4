//! Random faults on both sides: order and exactly once, whatever comes together.

use std::time::Duration;

use millstream_log::memory::{Gaps, Outcome};
use proptest::prelude::*;

use crate::spool_stage::{SpoolStage, letters, values};

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Events come; some of them are refused for good.
    Accept(Vec<bool>),
    /// The cluster's next transaction has an unknown outcome.
    RemoteFault(bool),
    /// The journal's next transaction has an unknown outcome.
    LocalFault(bool),
    /// The cluster goes away or comes back.
    Away(bool),
    /// The process is killed and started again.
    Kill,
    /// The machine loses power.
    PowerCut,
    /// Time goes by.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(proptest::bool::weighted(0.15), 1..8).prop_map(Step::Accept),
        2 => any::<bool>().prop_map(Step::RemoteFault),
        1 => any::<bool>().prop_map(Step::LocalFault),
        1 => any::<bool>().prop_map(Step::Away),
        2 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
        4 => (0_u64..1_500).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

fn outcome(is_committed: bool) -> Outcome {
    if is_committed { Outcome::Committed } else { Outcome::Lost }
}

async fn check(steps: Vec<Step>, gaps: Gaps) {
    let mut stage = SpoolStage::new().await;
    stage.remote.log.set_gaps(gaps);
    stage.remote.gate.refuse("bad");
    stage.config.batch_bytes_max = millstream_model::ByteSize::kib(1);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let mut running = stage.start();
    for step in steps {
        match step {
            Step::Accept(refused) => {
                for is_refused in refused {
                    let list = if is_refused { &mut bad } else { &mut good };
                    let kind = if is_refused { "bad" } else { "good" };
                    let value = format!("{kind} {}", list.len());
                    stage.accept(&[&value]).await;
                    list.push(value);
                }
            }
            Step::RemoteFault(committed) => stage.remote.log.fail_next_transact(outcome(committed)),
            Step::LocalFault(committed) => stage.local.fail_next_transact(outcome(committed)),
            Step::Away(is_away) => stage.remote.gate.set_away(is_away),
            Step::Kill => {
                running.kill().await;
                running = stage.start();
            }
            Step::PowerCut => {
                running.kill().await;
                stage.local = stage.local.restart();
                running = stage.start();
            }
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
    }
    stage.remote.gate.set_away(false);
    let accepted = (good.len() + bad.len()) as u64;
    running.until_done(accepted).await;
    running.drain().await;
    // A fault that is left may have hit the last registration: the next start catches up.
    stage.local = stage.local.restart();
    stage.forward_until(accepted).await;
    assert_eq!(stage.forwarded(), good);
    assert_eq!(values(&stage.local, &letters()), bad);
    let registered = stage.registered().await;
    let counts = registered.map_or((0, 0), |at| (at.forwarded, at.refused));
    assert_eq!(counts, (good.len() as u64, bad.len() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_record_is_forwarded_once_and_in_order(steps in steps(), has_gaps in any::<bool>()) {
        let gaps = if has_gaps { Gaps::ControlRecords } else { Gaps::None };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(check(steps, gaps));
    }
}
