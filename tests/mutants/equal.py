"""Comparisons that may be off by one: nothing anybody can see depends on it, and why."""

from __future__ import annotations

from typing import Final

_NO_TIME_IS_ZERO: Final = "a time is -1 (none) or long after 1970, never 0"
_EITHER_IS_THE_LEAST: Final = "of two that are equal, either is the least"
_NONE_IS_THAT_LARGE: Final = "no number of ours is as large, and what is foreign may be either"
_AN_EMPTY_OBJECT_READS_AS_NOTHING: Final = "{} is read as '' is: as nothing"

EQUAL: Final[dict[tuple[str, str], str]] = {
    ("ask", "slot[2] < 0 and"): _NO_TIME_IS_ZERO,
    ("ask", "slot[1] >= 0)"): _NO_TIME_IS_ZERO,
    ("claim", "slot[2] >= 0 and not"): _NO_TIME_IS_ZERO,
    ("put", "slot[2] < 0 or"): _NO_TIME_IS_ZERO,
    ("settle_asked", "due < 0 then"): _NO_TIME_IS_ZERO,
    ("settle_stored", "tonumber(due) >= 0"): _NO_TIME_IS_ZERO,
    ("timetable", "slot[2] >= 0 then"): _NO_TIME_IS_ZERO,
    ("timetable", "slot[2] < 0 then return false"): _NO_TIME_IS_ZERO,
    ("prelude", "number >= -LARGEST and number <= LARGEST"): _NONE_IS_THAT_LARGE,
    ("timetable", "number > LARGEST or number < -LARGEST"): _NONE_IS_THAT_LARGE,
    ("prelude", "number < 2 ^ 52 and"): _NONE_IS_THAT_LARGE,
    ("watch", "duty[1] > now + LONGEST"): _NONE_IS_THAT_LARGE,
    ("prelude", "number >= 0 and number"): "of a number that is not more than 0, 0 is told",
    ("prelude", "if i > 1 then"): "what stands before the first is not unpacked",
    ("claim", "and number > 0 then"): "numbers begin at 1, and one that cannot be read ranks last",
    ("claim", "if slot[4] > now then"): "a hold that ends now is over, whichever index it is in",
    ("claim", "number > best_number"): "a number is one configuration's",
    ("claim", "member[1] > best)"): "a number is one configuration's",
    ("claim", "tonumber(own) < tonumber(first)"): _EITHER_IS_THE_LEAST,
    ("claim_asked", "first < next_ms"): _EITHER_IS_THE_LEAST,
    ("overview", "tonumber(score) < least"): _EITHER_IS_THE_LEAST,
    ("claim", "#claims > 0 and claims"): _AN_EMPTY_OBJECT_READS_AS_NOTHING,
    ("claim_asked", "#claims > 0 and claims"): _AN_EMPTY_OBJECT_READS_AS_NOTHING,
    ("claim_stored", "#claims > 0 and claims"): _AN_EMPTY_OBJECT_READS_AS_NOTHING,
    ("claim_stored", "#foreign > 0 and foreign"): _AN_EMPTY_OBJECT_READS_AS_NOTHING,
    ("claim_asked", "a[2] < b[2]"): "no request is in two indexes",
    ("claim_asked", "#taken > 0 then"): "noting that nothing was taken gives nothing to repeat",
    ("timetable", "redis.call('HLEN', CARDS) > 0"): "a sweep through nothing finds nothing",
    ("timetable", "first <= now and turn and"): "it follows from the two after it",
    ("timetable", "first < turn and"): _EITHER_IS_THE_LEAST,
    ("claim_stored", "share > 0 and"): "a share of 0 takes nothing",
    ("lease", "hold > 0 then"): "to hold a lock for 0 ms is to free it",
    ("prelude", "rest >= 8"): "8 in one octave is 4 in the next: the same bucket",
    ("renew", "* 1000 <= had_token"): (
        "whoever began in a store's first millisecond has its record for longer than a TTL,"
        " and after one TTL a lease is not restored anyway"
    ),
}
"""By part and a text that holds the comparison and stands in that part."""
