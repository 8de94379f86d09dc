#!/usr/bin/env python3
"""Compares ways to search for a part of a name: a bounded scan, and indexes of trigrams.

    benches/search_index.py BINARY FOLDER [ENTRIES]

`BINARY` is the service, which makes the tables, and `FOLDER` is for SQLite's database. MariaDB and
PostgreSQL are measured if `TEST_MYSQL_URL` and `TEST_POSTGRES_URL` name servers, as `tests/servers`
writes them down; their clients have to be installed. One owner has `ENTRIES` entries (500,000), and
fifty others have as many together.
"""

import array
import os
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

DATABASE = os.environ.get("BENCH_DATABASE", "search_bench")
# What to measure, as the beginnings of names; all by default. Tables of trigrams take long to fill.
WAYS = tuple(os.environ.get("WAYS", "").split(","))
WINDOW = 10_000
PAGE = 21
INSERTS = 1_000
WORDS = "report invoice holiday meeting minutes draft final scan photo budget contract letter".split()
KINDS = "pdf jpg docx txt png xlsx".split()
COLUMNS = (
    "id, owner, file_sha1, file_sha256, file_name, file_name_folded, file_size, content_type,"
    " upload_at, update_at, status, version"
)
# Nothing, one of the owner's oldest names, one name in six, and what has no trigram.
TEXTS = ["zzzz", "needle", "pdf", "zz"]


def trigrams(text):
    return {text[at : at + 3] for at in range(len(text) - 2)}


def rows(first, count, owner):
    """Rows in the order of their upload: every second one is of the owner, if there is one."""
    choose = random.Random(first)
    for number in range(first, first + count):
        mine = number % 2 == 0
        name = f"{choose.choice(WORDS)}-{choose.choice(WORDS)} {number:07}.{choose.choice(KINDS)}"
        if number == 0:
            name = "the needle.pdf"
        whose = owner if mine else f"other{number % 50}"
        digest = f"{number:040x}"
        yield (number + 1, whose, digest, digest + "0" * 24, name, name, 1, "a/b", number, number, 0, 1)


def owned_trigrams(count):
    """The trigrams of the owner's names, in the order of the table's key."""
    places = {}
    for row in rows(0, count, "alice"):
        if row[1] == "alice":
            for gram in trigrams(row[5]):
                places.setdefault(gram, array.array("q")).append(row[8])
    for gram in sorted(places):
        for at in places[gram]:
            yield ("alice", gram, at, at + 1)


def where(text, low=None):
    condition = f"owner = 'alice' AND status = 0 AND file_name_folded LIKE '%{text}%'"
    return condition if low is None else condition + f" AND upload_at >= {low}"


def scan(text, low=None, hint=""):
    return (
        f"SELECT * FROM tbl_user_file {hint} WHERE {where(text, low)}"
        f" ORDER BY upload_at DESC, id DESC LIMIT {PAGE}"
    )


def by_rows(text, matching):
    """Entries whose numbers an index finds; `LIKE` has the last word."""
    return (
        f"SELECT * FROM tbl_user_file WHERE {where(text)} AND id IN ({matching})"
        f" ORDER BY upload_at DESC, id DESC LIMIT {PAGE}"
    )


def by_trigram_table(text):
    """An index of the owner's own trigrams: the intersection of the lists of three of them."""
    wanted = sorted(trigrams(text))[:3]
    joins = "".join(
        f" JOIN trigram t{at} ON t{at}.owner = 'alice' AND t{at}.gram = '{gram}'"
        f" AND t{at}.upload_at = t0.upload_at AND t{at}.id = t0.id"
        for at, gram in enumerate(wanted) if at > 0
    )
    return (
        f"SELECT f.* FROM trigram t0{joins} JOIN tbl_user_file f ON f.id = t0.id"
        f" WHERE t0.owner = 'alice' AND t0.gram = '{wanted[0]}' AND f.file_name_folded LIKE '%{text}%'"
        f" ORDER BY t0.upload_at DESC, t0.id DESC LIMIT {PAGE}"
    )


class Sqlite:
    name = "SQLite"

    def __init__(self, folder):
        self.path = os.path.join(folder, "search.db")
        if os.path.exists(self.path):
            os.remove(self.path)
        self.url = f"sqlite:{self.path}"

    def open(self):
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA synchronous = FULL")

    def load(self, rows):
        self.db.execute("BEGIN")
        marks = ",".join("?" * 12)
        self.db.executemany(f"INSERT INTO tbl_user_file ({COLUMNS}) VALUES ({marks})", rows)
        self.db.execute("COMMIT")
        self.db.execute("ANALYZE")

    def run(self, sql):
        # Processor time: other programs on the machine do not count.
        began = time.process_time()
        self.db.execute(sql).fetchall()
        return (time.process_time() - began) * 1000

    def insert(self, rows, also):
        times = []
        for row in rows:
            began = time.process_time()
            self.db.execute("BEGIN IMMEDIATE")
            marks = ",".join("?" * 12)
            self.db.execute(f"INSERT INTO tbl_user_file ({COLUMNS}) VALUES ({marks})", row)
            also(self, row)
            self.db.execute("COMMIT")
            times.append((time.process_time() - began) * 1000)
        return statistics.median(times)

    def size(self):
        pages, free, bytes_ = (
            self.db.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ["page_count", "freelist_count", "page_size"]
        )
        return (pages - free) * bytes_

    def indexes(self):
        def fts(detail):
            def build(self):
                self.db.execute(
                    "CREATE VIRTUAL TABLE names USING fts5(n, content='', detail=" + detail +
                    ", tokenize='trigram case_sensitive 1')"
                )
                self.db.execute("INSERT INTO names (rowid, n) SELECT id, file_name_folded FROM tbl_user_file")

            def query(text):
                if detail == "full":
                    return by_rows(text, f"SELECT rowid FROM names WHERE names MATCH '\"{text}\"'")
                grams = " AND ".join(f'"{gram}"' for gram in sorted(trigrams(text)))
                return by_rows(text, f"SELECT rowid FROM names WHERE names MATCH '{grams}'")

            def also(self, row):
                self.db.execute("INSERT INTO names (rowid, n) VALUES (?, ?)", (row[0], row[5]))

            return (f"FTS5 trigram, detail {detail}", build, query, also, "DROP TABLE names")

        def build(self):
            self.db.execute(
                "CREATE TABLE trigram (owner TEXT, gram TEXT, upload_at INTEGER, id INTEGER,"
                " PRIMARY KEY (owner, gram, upload_at, id)) WITHOUT ROWID"
            )
            self.db.execute("BEGIN")
            self.db.executemany("INSERT INTO trigram VALUES (?, ?, ?, ?)", owned_trigrams(self.count))
            self.db.execute("COMMIT")
            self.db.execute("ANALYZE")

        def also(self, row):
            many = [(row[1], gram, row[8], row[0]) for gram in trigrams(row[5])]
            self.db.executemany("INSERT INTO trigram VALUES (?, ?, ?, ?)", many)

        table = ("a table of the owner's trigrams", build, by_trigram_table, also, "DROP TABLE trigram")
        return [fts("full"), fts("none"), table]

    def close(self):
        self.db.close()
        os.remove(self.path)


class Server:
    """A server that is asked through its command-line client, which tells how long each statement took."""

    hint = ""

    def load(self, rows):
        path = os.path.join(self.folder, "rows.tsv")
        with open(path, "w", encoding="utf-8") as out:
            for row in rows:
                out.write("\t".join(str(value) for value in row) + "\n")
        self.import_file("tbl_user_file", path)

    def run(self, sql):
        return self.timed([[sql]])[0]

    def insert(self, rows, also):
        transactions = []
        for row in rows:
            values = ", ".join(f"'{value}'" for value in row)
            statements = ["BEGIN", f"INSERT INTO tbl_user_file ({COLUMNS}) VALUES ({values})"]
            also(statements, row)
            transactions.append([*statements, "COMMIT"])
        return statistics.median(self.timed(transactions))

    def trigram_table(self):
        def build(self):
            self.do(self.trigram_table_sql)
            self.do(
                f"INSERT INTO trigram SELECT DISTINCT owner, SUBSTR(file_name_folded, at, 3), upload_at, id"
                f" FROM {self.with_places} WHERE owner = 'alice' ORDER BY 2, 3, 4"
            )

        def also(statements, row):
            values = ", ".join(f"('{row[1]}', '{gram}', {row[8]}, {row[0]})" for gram in sorted(trigrams(row[5])))
            statements.append(f"INSERT INTO trigram VALUES {values}")

        return ("a table of the owner's trigrams", build, by_trigram_table, also, "DROP TABLE trigram")


class MariaDb(Server):
    name = "MariaDB"
    hint = "FORCE INDEX (ix_user_file_newest)"
    with_places = (
        "tbl_user_file JOIN (SELECT seq AS at FROM seq_1_to_253) AS places"
        " ON at <= CHAR_LENGTH(file_name_folded) - 2"
    )
    trigram_table_sql = (
        "CREATE TABLE trigram (owner VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,"
        " gram VARCHAR(3) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, upload_at BIGINT, id BIGINT,"
        " PRIMARY KEY (owner, gram, upload_at, id))"
    )

    def __init__(self, url, folder):
        url = urlsplit(url)
        self.client = [
            "mariadb", f"-h{url.hostname}", f"-P{url.port}", f"-u{url.username}", f"-p{url.password}",
            "--local-infile=1",
        ]
        self.url, self.folder = f"{url.geturl()}/{DATABASE}", folder
        self.do(f"DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}")
        self.client.append(DATABASE)

    def open(self):
        pass

    def do(self, sql):
        subprocess.run(self.client, input=sql, text=True, check=True, stdout=subprocess.DEVNULL)

    def import_file(self, table, path):
        columns = f"({COLUMNS})" if table == "tbl_user_file" else ""
        self.do(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} {columns}; ANALYZE TABLE {table}")

    def timed(self, transactions):
        # By the server's clock.
        begin = "SET @began = SYSDATE(6)"
        tell = "SELECT CONCAT('took ', TIMESTAMPDIFF(MICROSECOND, @began, SYSDATE(6)) / 1000)"
        script = []
        for statements in transactions:
            script += [begin, *statements, tell]
        told = subprocess.run(
            [*self.client, "-N"], input=";\n".join(script) + ";\n", text=True, check=True, capture_output=True
        ).stdout
        return [float(took) for took in re.findall(r"took ([\d.]+)", told)]

    def size(self):
        self.do("ANALYZE TABLE tbl_user_file")
        told = subprocess.run(
            [*self.client, "-N", "-e", "SELECT SUM(data_length + index_length) FROM information_schema.tables"
             f" WHERE table_schema = '{DATABASE}' AND table_name IN ('tbl_user_file', 'trigram')"],
            text=True, check=True, capture_output=True,
        ).stdout
        return int(float(told))

    def indexes(self):
        return [self.trigram_table()]

    def close(self):
        self.do(f"DROP DATABASE {DATABASE}")


class Postgres(Server):
    name = "PostgreSQL"
    with_places = "tbl_user_file, generate_series(1, length(file_name_folded) - 2) AS at"
    trigram_table_sql = (
        'CREATE TABLE trigram (owner VARCHAR(255) COLLATE "C", gram VARCHAR(3) COLLATE "C",'
        " upload_at BIGINT, id BIGINT, PRIMARY KEY (owner, gram, upload_at, id))"
    )

    def __init__(self, url, folder):
        self.url, self.folder = f"{url}/{DATABASE}", folder
        self.client = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", f"{url}/postgres"]
        self.do(f"DROP DATABASE IF EXISTS {DATABASE}")
        self.do(f"CREATE DATABASE {DATABASE}")
        self.client[-1] = self.url

    def open(self):
        pass

    def do(self, sql):
        subprocess.run([*self.client, "-c", sql], check=True, stdout=subprocess.DEVNULL)

    def import_file(self, table, path):
        columns = f"({COLUMNS})" if table == "tbl_user_file" else ""
        self.do(f"\\copy {table} {columns} FROM '{path}'")
        self.do(f"VACUUM ANALYZE {table}")

    def timed(self, transactions):
        statements = [statement for statements in transactions for statement in statements]
        script = "\\timing on\n" + ";\n".join(statements) + ";\n"
        told = subprocess.run(self.client, input=script, text=True, check=True, capture_output=True).stdout
        times = iter([float(took) for took in re.findall(r"Time: ([\d.]+) ms", told)])
        return [sum(next(times) for _ in statements) for statements in transactions]

    def size(self):
        told = subprocess.run(
            [*self.client, "-c", "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class"
             " WHERE relname IN ('tbl_user_file', 'trigram')"],
            text=True, check=True, capture_output=True,
        ).stdout
        return int(told)

    def indexes(self):
        def gin(what, extensions, columns):
            def build(self):
                for extension in extensions:
                    self.do(f"CREATE EXTENSION IF NOT EXISTS {extension}")
                self.do(f"CREATE INDEX names ON tbl_user_file USING gin ({columns})")
                self.do("VACUUM ANALYZE tbl_user_file")

            return (what, build, scan, lambda statements, row: None, "DROP INDEX names")

        return [
            gin("pg_trgm", ["pg_trgm"], "file_name_folded gin_trgm_ops"),
            gin("pg_trgm with the owner (btree_gin)", ["pg_trgm", "btree_gin"],
                "owner, file_name_folded gin_trgm_ops"),
            self.trigram_table(),
        ]

    def close(self):
        self.client[-1] = self.url.rsplit("/", 1)[0] + "/postgres"
        self.do(f"DROP DATABASE {DATABASE}")


def best(database, sql, rounds=5):
    """The shortest time: other programs on the machine make each run longer, and none shorter."""
    return min(database.run(sql) for _ in range(rounds + 1))


def tell(what, figures):
    print(f"| {what} | " + " | ".join(figures) + " |", flush=True)


def ms(value):
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def measure(database, binary, count):
    database.count = 2 * count
    subprocess.run(
        [binary, "migrate", "up", "--database-url", database.url, "--data-dir", os.devnull + ".none"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    database.open()
    database.load(rows(0, database.count, "alice"))
    hint = getattr(database, "hint", "")
    print(f"\n### {database.name}\n")
    tell("way", [f"`{text}`" for text in TEXTS] + ["an insert", "size"])
    tell("---", ["---"] * (len(TEXTS) + 2))
    fresh = iter(range(1, 100))

    def insert(also):
        first = database.count + next(fresh) * INSERTS
        return database.insert(list(rows(first, INSERTS, "alice")), also)

    insert(lambda *_: None)
    plain, size = insert(lambda *_: None), database.size()
    tell("a whole scan", [ms(best(database, scan(text, None, hint), 3)) for text in TEXTS]
         + [ms(plain), f"{size / 1e6:.0f} MB"])
    low = database.count - 2 * WINDOW
    tell(f"{WINDOW:,} entries", [ms(best(database, scan(text, low, hint))) for text in TEXTS] + ["", ""])
    for what, build, query, also, drop in database.indexes():
        if not what.startswith(WAYS):
            continue
        began = time.perf_counter()
        build(database)
        built = time.perf_counter() - began
        took = [ms(best(database, query(text), 3)) if len(text) > 2 else "-" for text in TEXTS]
        insert(also)
        inserted = insert(also)
        grown = (database.size() - size) / 1e6
        tell(f"{what}, built in {built:.0f} s", took + [ms(inserted), f"+{grown:.0f} MB"])
        database.run(drop) if isinstance(database, Sqlite) else database.do(drop)
    database.close()


def main():
    binary, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 500_000
    databases = [lambda: Sqlite(folder)]
    if url := os.environ.get("TEST_MYSQL_URL"):
        databases.append(lambda: MariaDb(url, folder))
    if url2 := os.environ.get("TEST_POSTGRES_URL"):
        databases.append(lambda: Postgres(url2, folder))
    only = os.environ.get("ONLY")
    for make in databases:
        database = make()
        if only and database.name != only:
            continue
        measure(database, binary, count)


if __name__ == "__main__":
    main()
