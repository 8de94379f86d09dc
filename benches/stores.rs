//! How fast bytes come into a real Ceph, and from there to OSS, compared with a plain client.
//!
//! `tests/servers` starts Ceph; OSS is the tests' stand-in. All of them share the machine.

use std::{ffi::OsString, io::Write as _, process::Stdio, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use harness::{Ceph, Oss, StoreSettings, lent};
use opendal::{
    HttpTransporter, Operator,
    services::{Oss as OssService, S3},
};
use opendal_http_transport_reqwest::ReqwestTransport;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{
    MIB, median, mib_per_second,
    server::{Server, binary, unique},
    timed,
};

const SIZE: u64 = 1024 * MIB;
const ROUNDS: usize = 3;
const PART: usize = 8 * 1024 * 1024;

/// The bytes a second, in each direction, of the link to a distant store.
const LINK: u32 = 100 * 1024 * 1024;

/// The number of simultaneous requests of a plain client.
const AT_ONCE: usize = 8;

pub(crate) async fn measure() {
    if std::env::var_os("TEST_S3_ENDPOINT").is_none() {
        println!("## stores: not measured, since tests/servers has not started Ceph\n");
        return;
    }
    upload().await;
    copy(64, 32 * MIB, Some(LINK)).await;
    copy(64, 32 * MIB, None).await;
    copy(3_000, 4096, None).await;
}

/// A store's setting.
fn of<'a>(settings: &'a StoreSettings, key: &str) -> &'a str {
    let found = settings.iter().find(|(name, _)| name.ends_with(key));
    found.map_or("", |(_, value)| value)
}

/// A client of a store that is nothing else.
fn plain(settings: &StoreSettings, folder: &str) -> Operator {
    let prefix = format!("{}{folder}/", of(settings, "_PREFIX"));
    let operator = if of(settings, "_KIND") == "s3" {
        let builder = S3::default()
            .endpoint(of(settings, "_ENDPOINT"))
            .bucket(of(settings, "_BUCKET"))
            .region(of(settings, "_REGION"))
            .root(&prefix)
            .access_key_id(of(settings, "_ACCESS_KEY_ID"))
            .secret_access_key(of(settings, "_SECRET_ACCESS_KEY"));
        Operator::new(builder).unwrap()
    } else {
        let builder = OssService::default()
            .endpoint(of(settings, "_ENDPOINT"))
            .bucket(of(settings, "_BUCKET"))
            .addressing_style("path")
            .root(&prefix)
            .access_key_id(of(settings, "_ACCESS_KEY_ID"))
            .access_key_secret(of(settings, "_ACCESS_KEY_SECRET"));
        Operator::new(builder).unwrap()
    };
    let client = harness::http().build().unwrap();
    let transport = HttpTransporter::new(ReqwestTransport::new(client));
    let context = operator.context().with_http_transport(transport);
    operator.with_context(context)
}

async fn write(operator: &Operator, key: &str, size: u64, at_once: usize) {
    let writer = operator.writer_with(key).chunk(PART).concurrent(at_once);
    let mut writer = writer.await.unwrap();
    let mut pieces = std::pin::pin!(unique(size));
    while let Some(piece) = pieces.next().await {
        writer.write(piece).await.unwrap();
    }
    writer.close().await.unwrap();
}

async fn read(operator: &Operator, key: &str) {
    let reader = operator.reader(key).await.unwrap();
    let mut pieces = reader.into_bytes_stream(..).await.unwrap();
    while pieces.try_next().await.unwrap().is_some() {}
}

/// The client that the inventor of S3 gives away.
struct Vendor {
    python: OsString,
    file: NamedTempFile,
}

impl Vendor {
    async fn find() -> Option<Self> {
        let python = std::env::var_os("BENCH_BOTO3_PYTHON")?;
        let mut file = NamedTempFile::new().unwrap();
        let mut pieces = std::pin::pin!(unique(SIZE));
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece).unwrap();
        }
        Some(Self { python, file })
    }

    /// The time to upload the file.
    async fn upload(&self) -> Duration {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/boto3_upload.py");
        let mut command = Command::new(&self.python);
        let output = command.arg(script).arg(self.file.path()).output().await;
        let seconds = String::from_utf8(output.unwrap().stdout).unwrap();
        Duration::from_secs_f64(seconds.trim().parse().expect("boto3 uploads the file"))
    }
}

async fn upload() {
    println!("## 1 GiB into Ceph, medians of {ROUNDS}\n");
    let ceph = Ceph::settings();
    let mut settings = lent(&ceph);
    settings.extend([
        ("FILESERVER_PRIMARY", "ceph"),
        ("FILESERVER_PURGE_GRACE", "0"),
    ]);
    let server = Server::start_with(&settings).await;
    let operator = plain(&ceph, "plain");
    // Memory that is needed once.
    server.upload(MIB).await;
    write(&operator, "warm", MIB, 1).await;
    let vendor = Vendor::find().await;
    let (mut two, mut many, mut through, mut vendors) = (vec![], vec![], vec![], vec![]);
    let mut peak = 0;
    for _ in 0..ROUNDS {
        if let Some(vendor) = &vendor {
            vendors.push(vendor.upload().await);
            collected().await;
        }
        for (at_once, took) in [(2, &mut two), (AT_ONCE, &mut many)] {
            took.push(timed(write(&operator, "object", SIZE, at_once)).await.1);
            operator.delete("object").await.unwrap();
            collected().await;
        }
        server.forget_peak();
        let (url, took) = timed(server.upload(SIZE)).await;
        through.push(took);
        peak = peak.max(server.peak());
        let purge = url.replace("/content", "?purge=true");
        server.client.delete(purge).send().await.unwrap();
        collected().await;
    }
    let [two, many, through] = [two, many, through].map(median);
    for (what, took) in [
        (
            "a client that reads and hashes nothing, 2 parts at once",
            two,
        ),
        ("the same, 8 parts at once", many),
        ("through the service", through),
    ] {
        println!("{what}: {:.0} MiB/s", mib_per_second(SIZE, took));
    }
    let through = through.as_secs_f64();
    let ratio = through / two.min(many).as_secs_f64();
    println!("time through the service / of the faster of those: {ratio:.2}");
    if vendor.is_some() {
        let vendor = median(vendors);
        let ratio = through / vendor.as_secs_f64();
        println!("boto3: {:.0} MiB/s", mib_per_second(SIZE, vendor));
        println!("time through the service / of boto3: {ratio:.2} (limit 1.15)");
    } else {
        println!("boto3: not measured, since BENCH_BOTO3_PYTHON does not say where it is");
    }
    let taken = peak as f64 / MIB as f64;
    println!("the service's peak memory: {taken:.1} MiB (limit 96)\n");
    server.stop().await;
}

/// Waits until what was deleted is gone: the service purges once a second, and the gateway collects
/// garbage every few seconds, for a second or two.
async fn collected() {
    tokio::time::sleep(Duration::from_secs(8)).await;
}

async fn copy(count: u64, size: u64, link: Option<u32>) {
    let bytes = count * size;
    println!("## {count} files of {size} bytes from Ceph to OSS\n");
    let (ceph, oss) = match link {
        Some(link) => (Ceph::settings(), Oss::start_behind(link)),
        None => (Ceph::settings(), Oss::start()),
    };
    let oss_settings = oss.settings();
    let mut settings = lent(ceph.iter().chain(&oss_settings));
    settings.extend([
        ("FILESERVER_PRIMARY", "ceph"),
        ("FILESERVER_NO_WORKER", "true"),
    ]);
    let server = Server::start_with(&settings).await;
    let uploads = stream::iter(0..count).map(|_| server.upload(size));
    let _: Vec<String> = uploads.buffer_unordered(AT_ONCE).collect().await;
    let (source, target) = (plain(&ceph, "objects"), plain(&oss_settings, "plain"));
    let keys: Vec<String> = source
        .lister_with("/")
        .recursive(true)
        .await
        .unwrap()
        .map_ok(|entry| entry.path().to_owned())
        .try_filter(|path| std::future::ready(!path.ends_with('/')))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(keys.len() as u64, count);
    let reading = stream::iter(&keys).for_each_concurrent(AT_ONCE, |key| read(&source, key));
    let ((), reading) = timed(reading).await;
    let writing = stream::iter(&keys).for_each_concurrent(AT_ONCE, |key| async {
        write(&target, key, size, 2).await;
        read(&target, key).await;
    });
    let ((), writing) = timed(writing).await;
    let data = server.folder().to_owned();
    let moving = async {
        let moved = Command::new(binary())
            .args(["transfer", "--from", "ceph", "--to", "oss", "--data-dir"])
            .arg(data)
            .envs(settings.iter().copied())
            .stderr(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(moved.status.success());
    };
    let ((), moving) = timed(moving).await;
    for (what, took) in [
        ("a plain client reads them from Ceph", reading),
        (
            "a plain client writes them to OSS, and reads them back",
            writing,
        ),
        ("the transfer, which does both, and hashes", moving),
    ] {
        let files = count as f64 / took.as_secs_f64();
        let rate = mib_per_second(bytes, took);
        println!("{what}: {rate:.0} MiB/s, {files:.0} files/s");
    }
    let ratio = reading.max(writing).as_secs_f64() / moving.as_secs_f64();
    let limit = match link {
        Some(_) => ", which is behind a link of 100 MiB/s each way (limit 0.9)",
        None => ", all on the same processors",
    };
    println!("rate of the transfer / of the slower store: {ratio:.2}{limit}\n");
    server.stop().await;
    // Ceph keeps it all in memory.
    stream::iter(&keys)
        .for_each_concurrent(AT_ONCE, async |key| source.delete(key).await.unwrap())
        .await;
    collected().await;
}
