# SPDX-License-Identifier: AGPL-3.0-only
"""Rules that every project has behind its own, unless it switches them off: task names under which
others run, with the arguments that say what it is.

Celery's own tasks: celery/app/builtins.py (5.6). Frappe: frappe/utils/background_jobs.py. Airflow:
airflow/providers/celery/executors. Django: django.core.management.call_command.
"""

from queuedeck.domain.labels.rules import RuleInput, RuleKind, RuleSet, compiled

_JOB = "{kwargs.job_name|kwargs.job|kwargs.name|args.0}"
_EVENT = "{kwargs.event_type|kwargs.event|kwargs.type|kwargs.topic|args.0.type|args.0.event}"
_CALL = "{kwargs.method|kwargs.function|kwargs.func|args.0}"

_DEFAULTS = (
    ("celery.chord_unlock", "chord of {args.1.task|kwargs.callback.task}"),
    ("celery.map", "{kwargs.task.task|args.0.task}"),
    ("celery.starmap", "{kwargs.task.task|args.0.task}"),
    ("celery.chunks", "{kwargs.task.task|args.0.task}"),
    ("frappe.utils.background_jobs.execute_job", "{kwargs.job_name|kwargs.method}"),
    ("airflow.*execute_command", "{args.0.3}.{args.0.4}"),
    ("*call_command", "{kwargs.command_name|args.0}"),
    ("*run_command", "{kwargs.command_name|kwargs.command|args.0}"),
    ("*run_job", _JOB),
    ("*execute_job", _JOB),
    ("*process_job", _JOB),
    ("*perform_job", _JOB),
    ("*handle_event", _EVENT),
    ("*process_event", _EVENT),
    ("*dispatch_event", _EVENT),
    ("*process_webhook", _EVENT),
    ("*handle_webhook", _EVENT),
    ("*call_function", _CALL),
    ("*call_method", _CALL),
    ("*run_function", _CALL),
)

DEFAULT_INPUTS = tuple(
    RuleInput(kind=RuleKind.LABEL, pattern=pattern, template=template)
    for pattern, template in _DEFAULTS
)
DEFAULT_RULES = tuple(compiled(one) for one in DEFAULT_INPUTS)
DEFAULT_SET = RuleSet(DEFAULT_RULES)
"""Of the projects that have no rules of their own."""
