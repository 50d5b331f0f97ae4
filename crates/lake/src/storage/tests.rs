//! Tests of URIs and of never overwriting.

use millstream_runtime::disk::fault::{Fault, FaultDisk, OpKind, When};

use super::*;

#[test]
fn a_path_survives_the_way_through_its_uri() {
    for path in ["/a/b c/d.parquet", "/data/x=2026-11-22/ms.parquet"] {
        assert_eq!(path_of(&uri(Path::new(path))), Path::new(path));
    }
    assert_eq!(uri(Path::new("/a")), "file:///a");
    assert_eq!(path_of("file:/a/b"), Path::new("/a/b"));
    assert_eq!(path_of("/a/b"), Path::new("/a/b"));
}

#[tokio::test]
async fn a_file_that_exists_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let io = file_io(Arc::new(RealDisk));
    let path = uri(&dir.path().join("new/file.avro"));
    let write = |bytes: &'static [u8]| {
        let output = io.new_output(&path).unwrap();
        async move { output.write(Bytes::from_static(bytes)).await }
    };
    write(b"first").await.unwrap();
    write(b"second").await.unwrap_err();
    assert_eq!(io.new_input(&path).unwrap().read().await.unwrap(), "first");
    assert!(io.exists(&path).await.unwrap());
    io.delete(&path).await.unwrap();
    io.delete(&path).await.unwrap();
    assert!(!io.exists(&path).await.unwrap());
}

#[tokio::test]
async fn a_file_that_is_not_written_to_its_end_is_removed_again() {
    let disk = FaultDisk::new(1);
    let io = file_io(Arc::new(disk.clone()));
    let dir = Path::new("/data");
    let output = |name: &str| io.new_output(uri(&dir.join(name))).unwrap();
    let names = || disk.list(dir).unwrap().len();

    let mut kept = output("kept").writer().await.unwrap();
    kept.write(Bytes::from_static(b"rows")).await.unwrap();
    kept.close().await.unwrap();
    drop(kept);
    assert_eq!(names(), 1, "what was closed stays");

    let mut abandoned = output("abandoned").writer().await.unwrap();
    abandoned.write(Bytes::from_static(b"rows")).await.unwrap();
    assert_eq!(names(), 2);
    drop(abandoned);
    assert_eq!(names(), 1);

    // Room for a name, not for what is to be in it: how a sink meets a full disk.
    disk.set_capacity(Some(disk.used_bytes() + (4 << 10)));
    let large = || Bytes::from(vec![7; 64 << 10]);
    output("whole").write(large()).await.unwrap_err();
    let mut partly = output("partly").writer().await.unwrap();
    partly.write(large()).await.unwrap_err();
    drop(partly);
    assert_eq!(names(), 1, "a try that failed leaves nothing");
}

#[tokio::test]
async fn a_file_whose_sync_failed_is_removed_again() {
    let disk = FaultDisk::new(1);
    let io = file_io(Arc::new(disk.clone()));
    let output = io.new_output("file:///data/file").unwrap();
    disk.inject(When::Nth(OpKind::Sync, 1), Fault::Error);
    output.write(Bytes::from_static(b"rows")).await.unwrap_err();
    assert!(!io.exists("file:///data/file").await.unwrap());
    // The next try has the name for itself.
    output.write(Bytes::from_static(b"rows")).await.unwrap();
}
