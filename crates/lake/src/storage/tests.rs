//! Tests of URIs and of never overwriting.

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
