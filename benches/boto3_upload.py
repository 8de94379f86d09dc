"""Uploads a file to the bucket that the environment names, in parts, and prints how many seconds it
took. What was uploaded is removed again.

    boto3_upload.py FILE
"""

import os
import sys
import time

import boto3

bucket = os.environ["TEST_S3_BUCKET"]
client = boto3.client(
    "s3",
    endpoint_url=os.environ["TEST_S3_ENDPOINT"],
    region_name=os.environ["TEST_S3_REGION"],
    aws_access_key_id=os.environ["TEST_S3_ACCESS_KEY"],
    aws_secret_access_key=os.environ["TEST_S3_SECRET_KEY"],
)
began = time.monotonic()
client.upload_file(sys.argv[1], bucket, "bench/boto3")
print(time.monotonic() - began)
client.delete_object(Bucket=bucket, Key="bench/boto3")
