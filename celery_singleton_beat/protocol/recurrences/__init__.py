"""Recurrences: the rules that say when an entry is due, and how they are written.

``recurrence`` holds what they have in common, and intervals; ``crontab`` (written
as ``cron_text``), ``calendar_rule`` (``rrule_text``, with ``calendar_days`` and
``calendar_cycle``), ``relative`` and ``solar`` are the other rules, ``bounds`` their
beginnings and ends. ``spec`` and ``spec_kinds`` say how a rule is given and kept,
``gap`` how close its occurrences can be, ``wallclock`` and ``zones`` what clocks show.
"""
