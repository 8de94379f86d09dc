"""Checks with the vendor's own client that the stand-in behaves like OSS.

    conformance.py BINARY

Starts the stand-in on a free port, runs all checks with signatures of version 1 and 4, and
prints how many passed.
"""

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import oss2
from oss2 import exceptions, models, utils

ID, SECRET, BUCKET = "LTAItest", "a secret/with+signs=", "my-bucket"
STANDARD = {"x-oss-range-behavior": "standard"}
NAMES = [
    "plain", "with space", "a/b/c.txt", "Grüße/ä ö ü", "1+1=2", "100% sure", "50%25", "a&b=c?d#e",
    "<tag>\"'", "日本/語", "tilde~star*paren()!", "trailing/", "double//slash", "semi;colon,comma@$:",
]
passed = 0


def check(holds, what=""):
    global passed
    assert holds, what
    passed += 1


def same(found, expected):
    check(found == expected, f"{found!r:.300} is not {expected!r:.300}")


def fails(code, status, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except exceptions.ServerError as error:
        same((error.code, error.status), (code, status))
        check(error.request_id, "there is no x-oss-request-id")
        if error.body:
            for member in ("Code", "Message", "RequestId", "HostId"):
                check(member in error.details, f"{code} has no {member}")
        return error
    raise AssertionError(f"{call} did not fail with {code}")


class StandIn:
    """The running stand-in, and its two addresses."""

    def __init__(self, binary, folder):
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--folder", folder,
             "--access-key-id", ID, "--access-key-secret", SECRET, "--bucket", BUCKET],
            stdout=subprocess.PIPE, text=True)
        self.url = self._address("listening on ")
        self.control = self._address("control on ")
        self.netloc = urlsplit(self.url).netloc

    def _address(self, before):
        line = self.process.stdout.readline().strip()
        same(line[:len(before) + 7], before + "http://")
        return line[len(before):]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data=data, method=method)
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fault(self, kind, operation, times=1, probability=1):
        self.ask("PUT", "/fault", {"kind": kind, "operation": operation, "times": times,
                                   "probability": probability})

    def clear(self):
        self.ask("DELETE", "/fault")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def bucket(self, version=1, secret=SECRET, key_id=ID, bucket=BUCKET, **named):
        auth = oss2.AuthV4 if version == 4 else oss2.Auth
        return oss2.Bucket(auth(key_id, secret), self.url, bucket, region="cn-hangzhou", **named)


def plain(method, url, body=None, headers=None):
    """A plain request, to which no client adds anything."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body,
                       headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def check_objects(bucket):
    for name in NAMES:
        body = os.urandom(1000) + name.encode()
        put = bucket.put_object(name, body, headers={"x-oss-meta-colour": "red",
                                                     "Content-Type": "text/x-test"})
        digest = hashlib.md5(body)
        same((put.status, put.etag), (200, digest.hexdigest().upper()))
        got = bucket.get_object(name)
        same(got.read(), body)
        same(got.content_type, "text/x-test")
        same(got.headers["x-oss-meta-colour"], "red")
        same(got.headers["Content-MD5"], base64.b64encode(digest.digest()).decode())
        check(abs(got.last_modified - time.time()) < 60)
        head = bucket.head_object(name)
        same((head.content_length, head.etag), (len(body), put.etag))
        same(head.object_type, "Normal")
        check(bucket.object_exists(name))
        same(bucket.get_object_meta(name).content_length, len(body))
        same(bucket.delete_object(name).status, 204)
        same(bucket.delete_object(name).status, 204)
        check(not bucket.object_exists(name))
        fails("NoSuchKey", 404, bucket.get_object, name)
        fails("NoSuchKey", 404, bucket.head_object, name)
    bucket.put_object("empty", b"")
    same(bucket.get_object("empty").read(), b"")
    same(bucket.head_object("empty").content_type, "application/octet-stream")
    bucket.put_object("image.jpg", b"x")
    same(bucket.head_object("image.jpg").content_type, "image/jpeg")
    bucket.put_object("twice", b"first")
    bucket.put_object("twice", b"second")
    same(bucket.get_object("twice").read(), b"second")
    chunks = (b"x" * 70000 for _ in range(50))
    bucket.put_object("chunked", chunks)
    same(bucket.head_object("chunked").content_length, 3_500_000)
    same(bucket.get_object("chunked").read(), b"x" * 3_500_000)
    params = {"response-content-type": "a/b", "response-content-disposition": "attachment; filename=\"ä b+c.txt\""[:22],
              "response-cache-control": "no-cache"}
    got = bucket.get_object("twice", params=params)
    same(got.headers["Content-Type"], "a/b")
    same(got.headers["Content-Disposition"], params["response-content-disposition"])
    same(got.headers["Cache-Control"], "no-cache")
    bucket.put_object("headers", b"x", headers={"Cache-Control": "max-age=5", "Content-Encoding": "identity",
                                                "Content-Disposition": "inline", "Expires": "soon"})
    head = bucket.head_object("headers").headers
    same([head[name] for name in ("Cache-Control", "Content-Encoding", "Content-Disposition", "Expires")],
         ["max-age=5", "identity", "inline", "soon"])
    fails("InvalidObjectName", 400, bucket.put_object, "x" * 1024, b"")
    bucket.put_object("x" * 1023, b"")
    for name in ["empty", "image.jpg", "twice", "chunked", "headers", "x" * 1023]:
        bucket.delete_object(name)


def check_ranges(bucket):
    body = bytes(range(256)) * 4000
    size = len(body)
    bucket.put_object("ranges", body)
    for wanted, expected in [((0, 0), body[:1]), ((0, 99), body[:100]), ((100, None), body[100:]),
                             ((None, 100), body[-100:]), ((size - 1, None), body[-1:]),
                             ((300_000, 600_000), body[300_000:600_001]), ((0, size - 1), body)]:
        for headers in ({}, STANDARD):
            got = bucket.get_object("ranges", byte_range=wanted, headers=dict(headers))
            same((got.status, got.read()), (206, expected))
            first = size - wanted[1] if wanted[0] is None else wanted[0]
            same(got.headers["Content-Range"], f"bytes {first}-{first + len(expected) - 1}/{size}")
    for wanted in [(0, size), (size, None), (size, size + 5)]:
        got = bucket.get_object("ranges", byte_range=wanted)
        same((got.status, len(got.read())), (200, size))
    got = bucket.get_object("ranges", byte_range=(size - 10, size + 10), headers=dict(STANDARD))
    same((got.status, got.read()), (206, body[-10:]))
    got = bucket.get_object("ranges", byte_range=(None, size + 10), headers=dict(STANDARD))
    same((got.status, got.read()), (206, body))
    for wanted in [(size, None), (size, size + 5), (None, 0)]:
        fails("InvalidRange", 416, bucket.get_object, "ranges", byte_range=wanted, headers=dict(STANDARD))
    etag = bucket.head_object("ranges").etag
    same(bucket.get_object("ranges", headers={"If-Match": f'"{etag}"'}).read(), body)
    fails("PreconditionFailed", 412, bucket.get_object, "ranges", headers={"If-Match": '"other"'})
    fails("", 304, bucket.get_object, "ranges", headers={"If-None-Match": f'"{etag}"'})
    now = utils.http_date(time.time() + 5)
    fails("", 304, bucket.get_object, "ranges", headers={"If-Modified-Since": now})
    past = utils.http_date(time.time() - 500)
    fails("PreconditionFailed", 412, bucket.get_object, "ranges", headers={"If-Unmodified-Since": past})
    bucket.delete_object("ranges")


def check_writing(bucket):
    fails("InvalidDigest", 400, bucket.put_object, "md5", b"abc", headers={"Content-MD5": utils.content_md5(b"abd")})
    fails("InvalidDigest", 400, bucket.put_object, "md5", b"abc", headers={"Content-MD5": "nonsense"})
    check(not bucket.object_exists("md5"))
    bucket.put_object("md5", b"abc", headers={"Content-MD5": utils.content_md5(b"abc")})
    forbid = {"x-oss-forbid-overwrite": "true"}
    fails("FileAlreadyExists", 409, bucket.put_object, "md5", b"new", headers=dict(forbid))
    same(bucket.get_object("md5").read(), b"abc")
    bucket.put_object("not there", b"new", headers=dict(forbid))
    fails("FileAlreadyExists", 409, bucket.copy_object, BUCKET, "md5", "not there", headers=dict(forbid))
    fails("FileAlreadyExists", 409, bucket.init_multipart_upload, "md5", headers=dict(forbid))
    upload = bucket.init_multipart_upload("meanwhile", headers=dict(forbid)).upload_id
    part = bucket.upload_part("meanwhile", upload, 1, b"late")
    bucket.put_object("meanwhile", b"early")
    fails("FileAlreadyExists", 409, bucket.complete_multipart_upload, "meanwhile", upload,
          [models.PartInfo(1, part.etag)], headers=dict(forbid))
    bucket.abort_multipart_upload("meanwhile", upload)

    source = NAMES[4] + " " + NAMES[5] + "/ü"
    bucket.put_object(source, b"copied", headers={"x-oss-meta-a": "1", "Content-Type": "a/b"})
    copied = bucket.copy_object(BUCKET, source, "copy of/ü")
    same(copied.etag, bucket.head_object(source).etag)
    bucket.delete_object(source)
    got = bucket.get_object("copy of/ü")
    same((got.read(), got.headers["x-oss-meta-a"], got.content_type), (b"copied", "1", "a/b"))
    bucket.copy_object(BUCKET, "copy of/ü", "copy of/ü", headers={
        "x-oss-metadata-directive": "REPLACE", "x-oss-meta-b": "2"})
    head = bucket.head_object("copy of/ü").headers
    check("x-oss-meta-a" not in head and head["x-oss-meta-b"] == "2")
    same(bucket.get_object("copy of/ü").read(), b"copied")
    fails("NoSuchKey", 404, bucket.copy_object, BUCKET, "nothing", "copy")
    fails("NoSuchBucket", 404, bucket.copy_object, "another", "nothing", "copy")
    fails("PreconditionFailed", 412, bucket.copy_object, BUCKET, "copy of/ü", "copy",
          headers={"x-oss-copy-source-if-match": "other"})

    for name in NAMES:
        bucket.put_object("many/" + name, b"x")
    deleted = bucket.batch_delete_objects(["many/" + name for name in NAMES] + ["never there"])
    same(sorted(deleted.deleted_keys), sorted(["many/" + name for name in NAMES] + ["never there"]))
    check(not bucket.list_objects("many/").object_list)
    same(bucket.batch_delete_objects(["md5", "not there", "meanwhile", "copy of/ü"]).status, 200)


def check_listing(bucket):
    names = sorted([f"list/{i:04}" for i in range(250)] + [f"list/dir {i}/ü+%{j}" for i in range(5) for j in range(3)]
                   + ["list/z<&>"], key=str.encode)
    for name in names:
        bucket.put_object(name, name)
    found = [info.key for info in oss2.ObjectIterator(bucket, prefix="list/", max_keys=7)]
    same(found, names)
    found = [info.key for info in oss2.ObjectIteratorV2(bucket, prefix="list/", max_keys=7)]
    same(found, names)
    for iterator in (oss2.ObjectIterator, oss2.ObjectIteratorV2):
        for size in (1, 3, 1000):
            found = list(iterator(bucket, prefix="list/", delimiter="/", max_keys=size))
            groups = [info.key for info in found if info.is_prefix()]
            keys = [info.key for info in found if not info.is_prefix()]
            same(groups, [f"list/dir {i}/" for i in range(5)])
            same(keys, [name for name in names if name.count("/") == 1])
    page = bucket.list_objects("list/", marker="list/0100", max_keys=10)
    same([info.key for info in page.object_list], [f"list/{i:04}" for i in range(101, 111)])
    check(page.is_truncated and page.next_marker == "list/0110")
    same(page.object_list[0].size, 9)
    same(page.object_list[0].etag, hashlib.md5(b"list/0101").hexdigest().upper())
    check(abs(page.object_list[0].last_modified - time.time()) < 60)
    same(len(bucket.list_objects("list/").object_list), 100)
    page = bucket.list_objects_v2("list/", start_after="list/0245", fetch_owner=True)
    same([info.key for info in page.object_list], names[names.index("list/0245") + 1:])
    check(page.object_list[0].owner and not page.is_truncated)
    same(bucket.list_objects("nothing here").object_list, [])
    fails("InvalidArgument", 400, bucket.list_objects, max_keys=1001)
    fails("InvalidArgument", 400, bucket.list_objects_v2, continuation_token="!!")
    for start in range(0, len(names), 100):
        bucket.batch_delete_objects(names[start:start + 100])
    same(bucket.list_objects("list/").object_list, [])


def check_multipart(bucket):
    key = "parts/ü + %"
    bodies = [os.urandom(150_000), os.urandom(102_400), b"the end"]
    upload = bucket.init_multipart_upload(key, headers={"x-oss-meta-a": "1", "Content-Type": "a/b"}).upload_id
    check(not bucket.object_exists(key))
    parts = []
    for number, body in zip((1, 5, 10_000), bodies):
        put = bucket.upload_part(key, upload, number, body)
        same(put.etag, hashlib.md5(body).hexdigest().upper())
        parts.append(models.PartInfo(number, put.etag, size=len(body), part_crc=put.crc))
    listed = bucket.list_parts(key, upload)
    same([(part.part_number, part.etag, part.size) for part in listed.parts],
         [(part.part_number, part.etag, part.size) for part in parts])
    listed = bucket.list_parts(key, upload, marker="1", max_parts=1)
    same([part.part_number for part in listed.parts], [5])
    check(listed.is_truncated and listed.next_marker == "5")
    same([part.part_number for part in oss2.PartIterator(bucket, key, upload, max_parts=1)], [1, 5, 10_000])
    same([(info.key, info.upload_id) for info in oss2.MultipartUploadIterator(bucket, prefix="parts/")], [(key, upload)])

    wrong = [models.PartInfo(1, parts[0].etag), models.PartInfo(2, parts[1].etag)]
    fails("InvalidPart", 400, bucket.complete_multipart_upload, key, upload, wrong)
    wrong = [models.PartInfo(1, parts[1].etag)]
    fails("InvalidPart", 400, bucket.complete_multipart_upload, key, upload, wrong)
    fails("NoSuchUpload", 404, bucket.complete_multipart_upload, key + "x", upload, parts)
    fails("InvalidArgument", 400, bucket.upload_part, key, upload, 0, b"x")
    fails("InvalidArgument", 400, bucket.upload_part, key, upload, 10_001, b"x")
    fails("InvalidDigest", 400, bucket.upload_part, key, upload, 3, b"x", headers={"Content-MD5": utils.content_md5(b"y")})
    document = "".join(f"<Part><PartNumber>{p.part_number}</PartNumber><ETag>\"{p.etag}\"</ETag></Part>"
                       for p in reversed(parts))
    url = bucket.sign_url("POST", key, 60, params={"uploadId": upload})
    status, _, answer = plain("POST", url, f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>")
    check(status == 400 and b"<Code>InvalidPartOrder</Code>" in answer, answer)
    status, _, answer = plain("POST", url, "nonsense")
    check(status == 400 and b"<Code>MalformedXML</Code>" in answer, answer)

    done = bucket.complete_multipart_upload(key, upload, parts)
    check(done.etag.endswith("-3"))
    got = bucket.get_object(key)
    same(got.read(), b"".join(bodies))
    same((got.headers["x-oss-meta-a"], got.content_type, got.object_type), ("1", "a/b", "Multipart"))
    same(bucket.head_object(key).etag, done.etag)
    fails("NoSuchUpload", 404, bucket.complete_multipart_upload, key, upload, parts)
    fails("NoSuchUpload", 404, bucket.abort_multipart_upload, key, upload)
    fails("NoSuchUpload", 404, bucket.upload_part, key, upload, 1, b"x")
    fails("NoSuchUpload", 404, bucket.list_parts, key, upload)

    upload = bucket.init_multipart_upload("small").upload_id
    parts = [models.PartInfo(n, bucket.upload_part("small", upload, n, b"x" * (102_400 - (n == 1))).etag) for n in (1, 2)]
    fails("EntityTooSmall", 400, bucket.complete_multipart_upload, "small", upload, parts)
    again = bucket.upload_part("small", upload, 1, b"y" * 102_400)
    bucket.complete_multipart_upload("small", upload, [models.PartInfo(1, again.etag), parts[1]])
    same(bucket.get_object("small").read(), b"y" * 102_400 + b"x" * 102_400)

    ids = [bucket.init_multipart_upload(f"up/{n % 3}").upload_id for n in range(9)]
    found = [info.upload_id for info in oss2.MultipartUploadIterator(bucket, prefix="up/", max_uploads=2)]
    same(sorted(found), sorted(ids))
    found = [info.key for info in oss2.MultipartUploadIterator(bucket, delimiter="/", max_uploads=1)]
    same(found, ["up/"])
    for info in list(oss2.MultipartUploadIterator(bucket, prefix="up/")):
        bucket.upload_part(info.key, info.upload_id, 1, b"x")
        same(bucket.abort_multipart_upload(info.key, info.upload_id).status, 204)
    same(list(oss2.MultipartUploadIterator(bucket)), [])
    check(not bucket.object_exists("up/0"))

    source = bucket.get_object(key).read()
    upload = bucket.init_multipart_upload("copied").upload_id
    first = bucket.upload_part_copy(BUCKET, key, (0, 149_999), "copied", upload, 1)
    same(first.etag, hashlib.md5(source[:150_000]).hexdigest().upper())
    second = bucket.upload_part_copy(BUCKET, key, (100, 102_499), "copied", upload, 2)
    third = bucket.upload_part_copy(BUCKET, key, None, "copied", upload, 3)
    fourth = bucket.upload_part(("copied"), upload, 4, b"!")
    fails("InvalidRange", 416, bucket.upload_part_copy, BUCKET, key, (len(source), len(source)), "copied", upload, 5)
    fails("NoSuchKey", 404, bucket.upload_part_copy, BUCKET, "nothing", (0, 1), "copied", upload, 5)
    fails("NoSuchUpload", 404, bucket.upload_part_copy, BUCKET, key, (0, 1), "copied", "nothing", 5)
    bucket.complete_multipart_upload("copied", upload, [
        models.PartInfo(n + 1, part.etag) for n, part in enumerate((first, second, third, fourth))])
    same(bucket.get_object("copied").read(), source[:150_000] + source[100:102_500] + source + b"!")
    bucket.batch_delete_objects([key, "small", "copied"])


def check_helpers(bucket, folder):
    body = os.urandom(3_000_003)
    there, back = os.path.join(folder, "there"), os.path.join(folder, "back")
    with open(there, "wb") as file:
        file.write(body)
    store = oss2.ResumableStore(root=folder)
    oss2.resumable_upload(bucket, "resumable ü", there, store=store, multipart_threshold=100_000,
                          part_size=1_000_000, num_threads=3)
    same(bucket.head_object("resumable ü").object_type, "Multipart")
    store = oss2.ResumableDownloadStore(root=folder)
    oss2.resumable_download(bucket, "resumable ü", back, store=store, multiget_threshold=100_000,
                            part_size=700_000, num_threads=3)
    with open(back, "rb") as file:
        check(file.read() == body)
    bucket.get_object_to_file("resumable ü", back)
    with open(back, "rb") as file:
        check(file.read() == body)
    bucket.put_object_from_file("from file", there)
    check(bucket.get_object("from file").read() == body)
    bucket.batch_delete_objects(["resumable ü", "from file"])


def check_urls(stand_in, bucket):
    for name in NAMES:
        for safe in (False, True):
            url = bucket.sign_url("PUT", name, 60, slash_safe=safe)
            same(plain("PUT", url, b"by url")[0], 200)
            url = bucket.sign_url("GET", name, 60, slash_safe=safe)
            same(plain("GET", url)[::2], (200, b"by url"))
            same(plain("PUT", url, b"by url")[0], 403)
        bucket.delete_object(name)
    name = NAMES[3]
    url = bucket.sign_url("PUT", name, 60, headers={"Content-Type": "a/b", "x-oss-meta-a": "1"})
    same(plain("PUT", url, b"typed", {"Content-Type": "a/b", "x-oss-meta-a": "1"})[0], 200)
    check(b"SignatureDoesNotMatch" in plain("PUT", url, b"typed", {"Content-Type": "a/c", "x-oss-meta-a": "1"})[2])
    check(b"SignatureDoesNotMatch" in plain("PUT", url, b"typed", {"Content-Type": "a/b", "x-oss-meta-a": "2"})[2])
    url = bucket.sign_url("GET", name, 60, params={"response-content-disposition": 'attachment; filename="a+b c.txt"'})
    status, headers, content = plain("GET", url)
    same((status, headers["Content-Disposition"], content), (200, 'attachment; filename="a+b c.txt"', b"typed"))
    check(b"SignatureDoesNotMatch" in plain("GET", url.replace("attachment", "inline"))[2])
    status, headers, content = plain("GET", bucket.sign_url("GET", name, 60), headers={"Range": "bytes=1-2"})
    same((status, content), (206, b"yp"))
    status, headers, content = plain("HEAD", bucket.sign_url("HEAD", name, 60))
    same((status, headers["Content-Length"], content), (200, "5", b""))
    status, _, answer = plain("GET", bucket.sign_url("GET", name, -5))
    check(status == 403 and b"<Code>AccessDenied</Code>" in answer and b"expired" in answer, answer)
    for path in ("/", f"/{BUCKET}", f"/{BUCKET}/", f"/{BUCKET}/{quote(name)}"):
        status, _, answer = plain("GET", stand_in.url + path)
        check(status == 403 and b"<Code>AccessDenied</Code>" in answer, answer)
    same(plain("PUT", stand_in.url + f"/{BUCKET}/unsigned", b"x" * 5_000_000)[0], 403)
    check(not bucket.object_exists("unsigned"))
    bucket.delete_object(name)


def check_virtual_hosts(stand_in, version):
    """Signed for a bucket in the host name, and sent to the stand-in's address."""
    for domain in ("oss-cn-hangzhou.aliyuncs.com", "localhost", "127.0.0.1"):
        host = f"{BUCKET}.{domain}"
        auth = (oss2.AuthV4 if version == 4 else oss2.Auth)(ID, SECRET)
        for method, key, params, body in [("PUT", "by host/ü", {}, b"x"), ("GET", "by host/ü", {}, None),
                                          ("GET", "", {"prefix": "by host/"}, None),
                                          ("DELETE", "by host/ü", {}, None)]:
            request = oss2.http.Request(method, f"http://{host}/{quote(key)}", params=dict(params),
                                        region="cn-hangzhou", product="oss")
            url = urlsplit(auth._sign_url(request, BUCKET, key, 60))
            path = url.path + "?" + url.query
            status, _, answer = plain(method, stand_in.url + path, body, {"Host": host})
            check(status in (200, 204), answer)
            if params:
                check("by host/ü".encode() in answer, answer)


def check_access(stand_in, version):
    good = stand_in.bucket(version)
    info = good.get_bucket_info()
    same((info.name, info.acl.grant), (BUCKET, "private"))
    good.put_object("mine", b"x" * 3_000_000)
    wrong = stand_in.bucket(version, secret="wrong")
    for call in (lambda: wrong.get_object("mine"), lambda: wrong.head_object("mine"), lambda: wrong.delete_object("mine"),
                 lambda: wrong.put_object("mine", b"y" * 3_000_000), lambda: wrong.list_objects(), lambda: wrong.list_objects_v2(),
                 lambda: wrong.init_multipart_upload("mine"), lambda: wrong.batch_delete_objects(["mine"])):
        fails("SignatureDoesNotMatch", 403, call)
    same(plain("GET", wrong.sign_url("GET", "mine", 60))[0], 403)
    unknown = stand_in.bucket(version, key_id="nobody")
    fails("InvalidAccessKeyId", 403, unknown.get_object, "mine")
    other = stand_in.bucket(version, bucket="other-bucket")
    for call in (lambda: other.get_object("mine"), lambda: other.head_object("mine"), lambda: other.put_object("mine", b""),
                 lambda: other.list_objects(), lambda: other.get_bucket_info()):
        fails("NoSuchBucket", 404, call)
    fails("NotImplemented", 400, good.get_object_acl, "mine")
    fails("NotImplemented", 400, good.append_object, "appended", 0, b"x")

    for minutes, code in ((-16, "RequestTimeTooSkewed"), (16, "RequestTimeTooSkewed"), (-14, None), (14, None)):
        moved = timedelta(minutes=minutes)
        real_date, real_datetime = utils.http_date, oss2.auth.datetime

        class Moved(datetime):
            @classmethod
            def utcnow(cls):
                return real_datetime.utcnow() + moved

        utils.http_date = lambda at=None: real_date(time.time() + moved.total_seconds())
        oss2.auth.datetime = Moved
        try:
            if code:
                fails(code, 403, good.get_object, "mine")
                fails(code, 403, good.head_object, "mine")
            else:
                same(good.get_object("mine").status, 200)
        finally:
            utils.http_date, oss2.auth.datetime = real_date, real_datetime
    good.delete_object("mine")


def check_faults(stand_in, version):
    bucket = stand_in.bucket(version, connect_timeout=1)
    unchecked = stand_in.bucket(version, enable_crc=False)
    body = os.urandom(1_000_000)
    bucket.put_object("faulty", body)
    before = stand_in.ask("GET", "/counts")

    stand_in.fault("error", "GET", 2)
    fails("InternalError", 500, bucket.get_object, "faulty")
    same(bucket.head_object("faulty").status, 200)
    fails("InternalError", 500, bucket.get_object, "faulty")
    same(bucket.get_object("faulty").read(), body)
    for operation, call in [("PUT", lambda: bucket.put_object("new", body)), ("HEAD", lambda: bucket.head_object("faulty")),
                            ("DELETE", lambda: bucket.delete_object("faulty")), ("LIST", bucket.list_objects),
                            ("POST", lambda: bucket.init_multipart_upload("new")), ("*", bucket.list_objects_v2)]:
        stand_in.fault("error", operation, None)
        fails("InternalError", 500, call)
        fails("InternalError", 500, call)
        stand_in.clear()
    check(not bucket.object_exists("new"))

    stand_in.fault("flip", "GET")
    got = unchecked.get_object("faulty").read()
    same(sum(bin(a ^ b).count("1") for a, b in zip(got, body)), 1)
    stand_in.fault("flip", "*")
    got = bucket.get_object("faulty")
    got.read()
    check(got.client_crc != got.server_crc)
    stand_in.fault("flip", "GET")
    same(unchecked.get_object("faulty", byte_range=(5, 5)).read(), bytes([body[5] ^ 1]))

    stand_in.fault("truncate", "GET")
    url = bucket.sign_url("GET", "faulty", 60)
    try:
        plain("GET", url)
        raise AssertionError("it was not truncated")
    except http.client.IncompleteRead as error:
        same((len(error.partial), error.expected), (500_000, 500_000))

    stand_in.fault("flip-stored", "PUT")
    put = bucket.put_object("rotten", body)
    same(put.etag, hashlib.md5(body).hexdigest().upper())
    got = unchecked.get_object("rotten").read()
    same(sum(bin(a ^ b).count("1") for a, b in zip(got, body)), 1)
    upload = bucket.init_multipart_upload("rotten").upload_id
    stand_in.fault("flip-stored", "PUT")
    part = bucket.upload_part("rotten", upload, 1, body)
    bucket.complete_multipart_upload("rotten", upload, [models.PartInfo(1, part.etag, part_crc=part.crc, size=len(body))])
    got = unchecked.get_object("rotten").read()
    same(sum(bin(a ^ b).count("1") for a, b in zip(got, body)), 1)

    stand_in.fault("slow", "HEAD")
    begun = time.monotonic()
    bucket.head_object("faulty")
    check(0.1 <= time.monotonic() - begun < 1)

    stand_in.fault("hang", "GET")
    begun = time.monotonic()
    try:
        bucket.get_object("faulty")
        raise AssertionError("it did not hang")
    except exceptions.RequestError:
        check(0.9 < time.monotonic() - begun < 5)
    stand_in.fault("hang", "PUT", None)
    ended = []

    def hang():
        try:
            plain("PUT", bucket.sign_url("PUT", "hung", 60), body)
            ended.append("answered")
        except (http.client.RemoteDisconnected, ConnectionResetError):
            ended.append("dropped")

    threads = [threading.Thread(target=hang) for _ in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    same(ended, [])
    same(bucket.get_object("faulty").read(), body)
    stand_in.clear()
    for thread in threads:
        thread.join(5)
    same(ended, ["dropped"] * 10)
    check(not bucket.object_exists("hung"))

    stand_in.fault("error", "HEAD", None, probability=0.3)
    failed = 0
    for _ in range(200):
        try:
            bucket.head_object("faulty")
        except exceptions.ServerError:
            failed += 1
    check(20 < failed < 110, failed)
    stand_in.clear()
    after = stand_in.ask("GET", "/counts")
    delivered = {kind: after["faults"].get(kind, 0) - before["faults"].get(kind, 0) for kind in after["faults"]}
    same(delivered, {"error": 14 + failed, "flip": 3, "truncate": 1, "flip-stored": 2, "slow": 1, "hang": 11})
    same(after["requests"]["LIST"] - before["requests"]["LIST"], 4)
    status = plain("PUT", stand_in.control + "/fault", '{"kind": "unheard of"}')[0]
    same(status, 400)
    bucket.batch_delete_objects(["faulty", "rotten"])


def main():
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        stand_in = StandIn(sys.argv[1], data)
        try:
            for version in (1, 4):
                bucket = stand_in.bucket(version)
                check_access(stand_in, version)
                check_objects(bucket)
                check_ranges(bucket)
                check_writing(bucket)
                check_listing(bucket)
                check_multipart(bucket)
                check_helpers(bucket, folder)
                check_urls(stand_in, bucket)
                check_virtual_hosts(stand_in, version)
                check_faults(stand_in, version)
                same(bucket.list_objects().object_list, [])
            same([name for _, _, names in os.walk(os.path.join(data, "blobs")) for name in names], [])
            # The objects survive any end of the process.
            bucket.put_object("kept", b"kept", headers={"x-oss-meta-a": "1"})
            upload = bucket.init_multipart_upload("kept too").upload_id
            part = bucket.upload_part("kept too", upload, 1, b"too")
            stand_in.process.kill()
            stand_in.process.wait()
            stand_in = StandIn(sys.argv[1], data)
            bucket = stand_in.bucket()
            got = bucket.get_object("kept")
            same((got.read(), got.headers["x-oss-meta-a"]), (b"kept", "1"))
            bucket.complete_multipart_upload("kept too", upload, [models.PartInfo(1, part.etag)])
            same(bucket.get_object("kept too").read(), b"too")
        finally:
            stand_in.stop()
    print(f"{passed} checks passed")


main()
