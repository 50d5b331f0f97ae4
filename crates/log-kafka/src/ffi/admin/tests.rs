use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::{EpochOffset, named};

/// What librdkafka leaves in an answer that it has not got (`RD_KAFKA_OFFSET_INVALID`).
const NOT_NAMED: i64 = -1001;

#[test]
fn an_end_that_no_broker_named_is_not_the_end_of_an_empty_partition() {
    let refused = ClientError::AdminOp(RDKafkaErrorCode::BrokerTransportFailure);
    assert_eq!(named((NOT_NAMED, -1)), Err(refused.clone()));
    assert_eq!(named((-1, 3)), Err(refused));
    assert_eq!(named((0, -1)), Ok(EpochOffset { offset: 0, epoch: -1 }));
    assert_eq!(named((8_819, 3)), Ok(EpochOffset { offset: 8_819, epoch: 3 }));
}
