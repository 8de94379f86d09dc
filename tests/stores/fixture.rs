//! The stores of the tests.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use harness::{Ceph, Oss, StoreSettings, http};
use ring::hmac;
use storage::{Bucket, BucketKind, BucketOptions, Disk, Memory, Secret, Store};
use tempfile::TempDir;

/// The minimum that the settings allow, so that small contents have several parts.
const CEPH_SEGMENT: usize = 10 << 20;
const OSS_SEGMENT: usize = 1 << 20;

/// The kind of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Disk,
    Ceph,
    Oss,
}

/// A store that only one test uses.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    backend: Backend,
}

/// The backend of a store.
enum Backend {
    Disk(TempDir),
    Ceph(BucketOptions),
    Oss(Oss),
}

/// Runs a test in an empty store, and removes the objects that it created.
pub(crate) async fn with(kind: Kind, test: impl AsyncFn(&TestStore)) {
    with_memory(kind, Memory::default(), test).await;
}

/// The same in a store whose transfers share some memory.
pub(crate) async fn with_memory(kind: Kind, memory: Memory, test: impl AsyncFn(&TestStore)) {
    let fixture = TestStore::with_memory(kind, memory).await;
    test(&fixture).await;
    for key in fixture
        .objects()
        .await
        .into_iter()
        .chain(fixture.segments().await)
    {
        fixture.store.remove(&key).await.unwrap();
    }
}

impl TestStore {
    /// A store whose transfers share some memory.
    pub(crate) async fn with_memory(kind: Kind, memory: Memory) -> Self {
        match kind {
            Kind::Disk => {
                let folder = tempfile::tempdir().unwrap();
                let disk = Disk::open("disk", folder.path(), 0, memory).await.unwrap();
                Self {
                    store: Store::Disk(disk),
                    backend: Backend::Disk(folder),
                }
            }
            Kind::Ceph => {
                let options = options(BucketKind::S3, &Ceph::settings());
                let bucket = Bucket::new("ceph", options.clone(), memory).unwrap();
                Self {
                    store: Store::Bucket(bucket),
                    backend: Backend::Ceph(options),
                }
            }
            Kind::Oss => Self::on_oss(Duration::from_secs(10), memory),
        }
    }

    /// A store on the stand-in for OSS, with a timeout for requests.
    pub(crate) fn with_timeout(timeout: Duration) -> Self {
        Self::on_oss(timeout, Memory::default())
    }

    fn on_oss(timeout: Duration, memory: Memory) -> Self {
        let oss = Oss::start();
        let options = BucketOptions {
            timeout,
            ..options(BucketKind::Oss, &oss.settings())
        };
        Self {
            store: Store::Bucket(Bucket::new("oss", options, memory).unwrap()),
            backend: Backend::Oss(oss),
        }
    }

    /// The stand-in for OSS that the store is on.
    pub(crate) fn oss(&self) -> &Oss {
        match &self.backend {
            Backend::Oss(oss) => oss,
            _ => panic!("the store is not on the stand-in"),
        }
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        self.store.as_bucket().unwrap()
    }

    /// The maximum number of bytes of an upload that can be lost. A disk loses none.
    pub(crate) fn segment_size(&self) -> usize {
        self.store
            .as_bucket()
            .map_or(OSS_SEGMENT, Bucket::segment_size)
    }

    /// Lists the keys of all objects.
    pub(crate) async fn objects(&self) -> BTreeSet<String> {
        let lists = (0..=u8::MAX).map(|byte| async move {
            match &self.store {
                Store::Disk(disk) => {
                    let listing = disk.list(byte).await.unwrap();
                    assert!(
                        listing.foreign_files.is_empty(),
                        "{:?}",
                        listing.foreign_files
                    );
                    let objects = listing.objects.into_iter();
                    objects.map(|object| object.address.key).collect()
                }
                Store::Bucket(bucket) => {
                    let entries = Store::Bucket(bucket.clone()).list(byte).await.unwrap();
                    let keys = entries.map_ok(|entry| entry.key);
                    keys.try_collect::<Vec<_>>().await.unwrap()
                }
            }
        });
        let lists: Vec<Vec<String>> = stream::iter(lists).buffer_unordered(16).collect().await;
        lists.into_iter().flatten().collect()
    }

    /// Lists the keys of all segments of uploads in a bucket.
    pub(crate) async fn segments(&self) -> BTreeSet<String> {
        let entries = self.store.list_segments().await.unwrap();
        let keys = entries.map_ok(|entry| entry.key);
        keys.try_collect().await.unwrap()
    }

    /// Counts the files or multipart uploads that unfinished writes left behind.
    pub(crate) async fn count_leftovers(&self) -> usize {
        match &self.backend {
            Backend::Disk(folder) => {
                let is_lock = |path: &Path| path.file_name().is_some_and(|name| name == "lock");
                let staging = fs::read_dir(folder.path().join("staging")).unwrap();
                let staging = staging.flat_map(|process| files(&process.unwrap().path()));
                let uploads = files(&folder.path().join("uploads"));
                let all = staging.chain(uploads);
                all.filter(|path| !is_lock(path)).count()
            }
            Backend::Ceph(options) => count_multipart_uploads(options).await,
            Backend::Oss(oss) => oss.files(),
        }
    }

    /// Waits until nothing is left in the store.
    pub(crate) async fn wait_until_empty(&self) {
        for _ in 0..100 {
            if self.count_leftovers().await == 0 && self.segments().await.is_empty() {
                assert_eq!(self.objects().await, BTreeSet::new());
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "{} leftovers and the segments {:?} are still there",
            self.count_leftovers().await,
            self.segments().await
        );
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// Counts the multipart uploads below a prefix that were neither completed nor aborted.
///
/// The service's own client cannot list them. The signature is of version 2, which needs no clock.
async fn count_multipart_uploads(options: &BucketOptions) -> usize {
    const YEAR_2100: &str = "4102444800";
    let secret = harness::variable("TEST_S3_SECRET_KEY");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let string_to_sign = format!("GET\n\n\n{YEAR_2100}\n/{}?uploads", options.bucket);
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, string_to_sign.as_bytes()));
    let response = http()
        .build()
        .unwrap()
        .get(format!("{}/{}?uploads", options.endpoint, options.bucket))
        .query(&[
            ("prefix", options.prefix.trim_start_matches('/')),
            ("AWSAccessKeyId", &options.access_key_id),
            ("Expires", YEAR_2100),
            ("Signature", &signature),
        ])
        .send()
        .await
        .unwrap();
    let text = response.text().await.unwrap();
    assert!(text.contains("<ListMultipartUploadsResult"), "{text}");
    text.matches("<Upload>").count()
}

/// The options of a bucket, from settings of the environment.
pub(crate) fn options(kind: BucketKind, settings: &StoreSettings) -> BucketOptions {
    let find = |end: &str| {
        let mut found = settings.iter().filter(|(name, _)| name.ends_with(end));
        found.next().map(|(_, value)| value.clone())
    };
    let secret = find("_SECRET_ACCESS_KEY").or_else(|| find("_ACCESS_KEY_SECRET"));
    BucketOptions {
        kind,
        endpoint: find("_ENDPOINT").unwrap(),
        bucket: find("_BUCKET").unwrap(),
        region: find("_REGION").unwrap_or_default(),
        access_key_id: find("_ACCESS_KEY_ID").unwrap(),
        secret: Secret::new(secret.unwrap()),
        prefix: find("_PREFIX").unwrap_or_default(),
        virtual_host: false,
        segment_size: match kind {
            BucketKind::S3 => CEPH_SEGMENT,
            BucketKind::Oss => OSS_SEGMENT,
        },
        timeout: Duration::from_secs(10),
    }
}
