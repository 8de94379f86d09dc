//! A store for a test.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use harness::{Ceph, Oss, StoreSettings, http};
use ring::hmac;
use storage::{Bucket, BucketKind, BucketOptions, Disk, Secret, Store};
use tempfile::TempDir;

/// The least that the settings allow: so the bounds of parts are met soon.
const CEPH_SEGMENT: usize = 10 << 20;
const OSS_SEGMENT: usize = 1 << 20;

/// Which store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Disk,
    Ceph,
    Oss,
}

/// A store that nobody else uses.
pub(crate) struct Home {
    pub(crate) store: Store,
    place: Place,
}

enum Place {
    Disk(TempDir),
    Ceph(BucketOptions),
    Oss(Oss),
}

/// Runs a test in a store that has nothing, and removes what the test has put there.
pub(crate) async fn with(kind: Kind, test: impl AsyncFn(&Home)) {
    let home = Home::new(kind).await;
    test(&home).await;
    for key in home
        .objects()
        .await
        .into_iter()
        .chain(home.segments().await)
    {
        home.store.remove(&key).await.unwrap();
    }
}

impl Home {
    pub(crate) async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Disk => {
                let folder = tempfile::tempdir().unwrap();
                let disk = Disk::open("disk", folder.path()).await.unwrap();
                Self {
                    store: Store::Disk(disk),
                    place: Place::Disk(folder),
                }
            }
            Kind::Ceph => {
                let options = options(BucketKind::S3, &Ceph::settings());
                let bucket = Bucket::new("ceph", options.clone()).unwrap();
                Self {
                    store: Store::Bucket(bucket),
                    place: Place::Ceph(options),
                }
            }
            Kind::Oss => Self::with_timeout(Duration::from_secs(10)),
        }
    }

    /// The stand-in, which has to answer soon.
    pub(crate) fn with_timeout(timeout: Duration) -> Self {
        let oss = Oss::start();
        let options = BucketOptions {
            timeout,
            ..options(BucketKind::Oss, &oss.settings())
        };
        Self {
            store: Store::Bucket(Bucket::new("oss", options).unwrap()),
            place: Place::Oss(oss),
        }
    }

    /// The stand-in that it is on.
    pub(crate) fn oss(&self) -> &Oss {
        match &self.place {
            Place::Oss(oss) => oss,
            _ => panic!("it is no stand-in"),
        }
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        self.store.as_bucket().unwrap()
    }

    /// How many bytes are the most that can be lost of an upload; a disk loses none.
    pub(crate) fn segment_size(&self) -> usize {
        self.store
            .as_bucket()
            .map_or(OSS_SEGMENT, Bucket::segment_size)
    }

    /// The keys of all objects.
    pub(crate) async fn objects(&self) -> BTreeSet<String> {
        let lists = (0..=u8::MAX).map(|byte| async move {
            match &self.store {
                Store::Disk(disk) => {
                    let listing = disk.list(byte).await.unwrap();
                    assert!(listing.strays.is_empty(), "{:?}", listing.strays);
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

    /// The keys of all that was staged of uploads in a bucket.
    pub(crate) async fn segments(&self) -> BTreeSet<String> {
        let entries = self.store.list_segments().await.unwrap();
        let keys = entries.map_ok(|entry| entry.key);
        keys.try_collect().await.unwrap()
    }

    /// How many traces there are of what did not come to its end.
    pub(crate) async fn remains(&self) -> usize {
        match &self.place {
            Place::Disk(folder) => {
                let is_lock = |path: &Path| path.file_name().is_some_and(|name| name == "lock");
                let staging = fs::read_dir(folder.path().join("staging")).unwrap();
                let staging = staging.flat_map(|process| files(&process.unwrap().path()));
                let uploads = files(&folder.path().join("uploads"));
                let all = staging.chain(uploads);
                all.filter(|path| !is_lock(path)).count()
            }
            Place::Ceph(options) => begun_uploads(options).await,
            Place::Oss(oss) => oss.files(),
        }
    }

    /// Waits until nothing is left in the store, in whatever form.
    pub(crate) async fn becomes_bare(&self) {
        for _ in 0..100 {
            if self.remains().await == 0 && self.segments().await.is_empty() {
                assert_eq!(self.objects().await, BTreeSet::new());
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "{} remain, and {:?}",
            self.remains().await,
            self.segments().await
        );
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// How many objects were begun in parts below a prefix, and neither ended nor taken back.
///
/// The service's own client has no words to ask that. The signature is of version 2, which needs no
/// clock.
async fn begun_uploads(options: &BucketOptions) -> usize {
    const YEAR_2100: &str = "4102444800";
    let secret = harness::variable("TEST_S3_SECRET_KEY");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let asked = format!("GET\n\n\n{YEAR_2100}\n/{}?uploads", options.bucket);
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, asked.as_bytes()));
    let answer = http()
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
    let text = answer.text().await.unwrap();
    assert!(text.contains("<ListMultipartUploadsResult"), "{text}");
    text.matches("<Upload>").count()
}

/// A bucket as the settings in the environment describe it.
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
