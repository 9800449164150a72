# SPDX-License-Identifier: AGPL-3.0-only
"""Printed tracebacks to frames."""

from queuedeck.web.tracebacks import MAX_FRAMES, read_traceback
from queuedeck.web.views.samples import TRACEBACK

CHAINED = """Traceback (most recent call last):
  File "/srv/shop/a.py", line 3, in read
    return data[key]
           ~~~~^^^^^
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/usr/lib/python3.12/json/decoder.py", line 9, in decode
  File "/srv/shop/b.py", line 7, in <module>
    read()
ValueError: no
"""


def test_libraries_are_folded_and_own_code_is_open():
    trace = read_traceback(TRACEBACK, "GatewayTimeout", "timed out")
    assert [(part.library, part.label) for part in trace.parts] == [
        (True, "2 frames in celery"),
        (False, ""),
        (True, "1 frame in httpx"),
    ]
    assert trace.summary == "5 frames, 2 of your code; the newest call last"


def test_frame_says_file_line_function_and_code():
    frame = read_traceback(TRACEBACK, "", "").parts[1].frames[0]
    assert (frame.file, frame.line) == ("/srv/storefront/billing/payments.py", 141)
    assert frame.function == "capture_payment"
    assert frame.code == "receipt = psp.capture(intent.reference, amount, currency)"


def test_path_of_a_library_begins_at_its_package():
    assert read_traceback(TRACEBACK, "", "").parts[0].frames[0].file == "celery/app/trace.py"


def test_chained_exceptions_are_kept_apart_and_marks_left_out():
    trace = read_traceback(CHAINED, "ValueError", "no")
    note = "During handling of the above exception, another exception occurred"
    assert [part.note for part in trace.parts] == ["", note, "", ""]
    assert trace.parts[0].frames[0].code == "return data[key]"
    assert trace.parts[2].label == "1 frame in Python"
    assert trace.parts[2].frames[0].code == ""


def test_text_without_frames_is_no_traceback():
    assert (
        read_traceback("celery.exceptions.TimeLimitExceeded: 5", "TimeLimitExceeded", "5") is None
    )


def test_recursion_is_bounded():
    text = '  File "/srv/a.py", line 1, in f\n    f()\n' * 5_000
    frames = read_traceback(text, "RecursionError", "").parts[0].frames
    assert len(frames) == MAX_FRAMES
