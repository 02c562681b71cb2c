"""progress_post.py URL CA TOKEN_FILE PERCENT: tells a percentage, and prints the code of the answer, and when to come again."""
import json
import ssl
import sys
import urllib.error
import urllib.request

url, ca, token, percent = sys.argv[1:]
body = {"trainerStatus": {"progressPercentage": int(percent), "lastUpdatedTime": "2026-01-02T03:04:05Z"}}
try:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Authorization": "Bearer " + open(token).read().strip()})
    print(urllib.request.urlopen(request, timeout=5, context=ssl.create_default_context(cafile=ca)).status)
except urllib.error.HTTPError as error:
    retry = error.headers.get("Retry-After")
    print(error.code, *(["retry", retry] if retry else []))
except (OSError, ValueError) as error:
    print(error)
