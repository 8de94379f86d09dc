//! The query plans of the statements that must stay cheap.

use std::num::NonZeroU32;

use domain::{Position, Timestamp, UploadPosition};
use harness::{Kind, TestDatabase};
use persistence::{Database, plans};

use crate::{on_every_database, owner, record, some_content};

on_every_database! {
    lookups_and_listings_use_an_index_without_sorting,
    listings_of_uploads_use_an_index_without_sorting,
}

async fn lookups_and_listings_use_an_index_without_sorting(
    database: &Database,
    place: &TestDatabase,
) {
    let alice = owner("alice");
    let mut sha1 = some_content().sha1;
    for moment in 0..40 {
        let (entry, ..) = record(database, "alice", "a.txt", &some_content(), moment).await;
        sha1 = entry.meta.file_sha1;
    }
    // Some databases scan a table that fits in a page, whatever indexes it has.
    let _ = place.sql(match place.kind() {
        Kind::Sqlite => "ANALYZE",
        Kind::MariaDb => MANY_ROWS_IN_MARIADB,
        Kind::Postgres => MANY_ROWS_IN_POSTGRES,
    });
    let middle = Position {
        upload_at: Timestamp::from_microseconds(10_000),
        id: 0,
    };
    let of_middle = plans::list(database, &alice, Some(middle), 21)
        .await
        .unwrap();
    if place.kind() == Kind::MariaDb {
        let starts_there = of_middle.contains("\"type\":\"range\"");
        assert!(
            starts_there,
            "rows before the page are read too: {of_middle}"
        );
    }
    let count = NonZeroU32::new(100).unwrap();
    let behind = plans::search_end(database, &alice, Some(middle), count);
    let behind = behind.await.unwrap();
    let reads_no_row = match place.kind() {
        Kind::Sqlite => "COVERING INDEX",
        Kind::MariaDb => "\"Using where; Using index\"",
        // After a vacuum it reads no row either.
        Kind::Postgres => "Index",
    };
    assert!(behind.contains(reads_no_row), "{behind}");
    for plan in [
        plans::find(database, &alice, &sha1).await.unwrap(),
        plans::list(database, &alice, None, 21).await.unwrap(),
        of_middle,
        behind,
    ] {
        let plan = plan.to_lowercase();
        let costly: &[&str] = match place.kind() {
            Kind::Sqlite => &["scan", "temp b-tree"],
            Kind::MariaDb => &["filesort", "temporary", "\"all\""],
            Kind::Postgres => &["seq scan", "sort"],
        };
        assert!(costly.iter().all(|cost| !plan.contains(cost)), "{plan}");
        assert!(
            plan.contains("ix_user_file_newest")
                || plan.contains("uq_user_file_owner_sha1")
                || plan.contains("ix_user_file_sha1")
                || plan.contains("sqlite_autoindex"),
            "{plan}"
        );
    }
}

async fn listings_of_uploads_use_an_index_without_sorting(
    database: &Database,
    place: &TestDatabase,
) {
    let _ = place.sql(match place.kind() {
        Kind::Sqlite => "ANALYZE",
        Kind::MariaDb => MANY_UPLOADS_IN_MARIADB,
        Kind::Postgres => MANY_UPLOADS_IN_POSTGRES,
    });
    let middle = UploadPosition {
        create_at: Timestamp::from_microseconds(10_000),
        id: [7; 16].into(),
    };
    let alice = owner("alice");
    for after in [None, Some(middle)] {
        let plan = plans::list_uploads(database, &alice, after, 21).await;
        let plan = plan.unwrap().to_lowercase();
        let costly: &[&str] = match place.kind() {
            Kind::Sqlite => &["scan", "temp b-tree"],
            Kind::MariaDb => &["filesort", "temporary", "\"all\""],
            Kind::Postgres => &["seq scan", "sort"],
        };
        assert!(costly.iter().all(|cost| !plan.contains(cost)), "{plan}");
        assert!(plan.contains("ix_upload_newest"), "{plan}");
    }
}

const MANY_UPLOADS_IN_MARIADB: &str = "
    INSERT INTO tbl_upload (id, owner, protocol, role, status, file_name, content_type, create_at,
        expires_at)
    SELECT LPAD(HEX(seq), 32, '0'), IF(seq % 2, 'alice', CONCAT('owner ', seq % 100)), 0, 0, 0, 'x',
        'a/b', seq, 1000000
    FROM seq_1_to_20000;
    ANALYZE TABLE tbl_upload";

const MANY_UPLOADS_IN_POSTGRES: &str = "
    INSERT INTO tbl_upload (id, owner, protocol, role, status, file_name, content_type, create_at,
        expires_at)
    SELECT lpad(to_hex(n), 32, '0'), CASE n % 2 WHEN 1 THEN 'alice' ELSE 'owner ' || n % 100 END, 0,
        0, 0, 'x', 'a/b', n, 1000000
    FROM generate_series(1, 20000) AS n;
    ANALYZE tbl_upload";

const MANY_ROWS_IN_MARIADB: &str = "
    INSERT INTO tbl_user_file (owner, file_sha1, file_sha256, file_name, file_name_folded,
        file_size, content_type, upload_at, update_at, status, version)
    SELECT IF(seq % 2, 'alice', CONCAT('owner ', seq % 100)), LPAD(HEX(seq), 40, '0'),
        LPAD('', 64, '0'), 'x', 'x', 1, 'a/b', seq, seq, 0, 1
    FROM seq_1_to_20000;
    ANALYZE TABLE tbl_user_file";

const MANY_ROWS_IN_POSTGRES: &str = "
    INSERT INTO tbl_user_file (owner, file_sha1, file_sha256, file_name, file_name_folded,
        file_size, content_type, upload_at, update_at, status, version)
    SELECT CASE n % 2 WHEN 1 THEN 'alice' ELSE 'owner ' || n % 100 END, lpad(to_hex(n), 40, '0'),
        lpad('', 64, '0'), 'x', 'x', 1, 'a/b', n, n, 0, 1
    FROM generate_series(1, 20000) AS n;
    ANALYZE tbl_user_file";
