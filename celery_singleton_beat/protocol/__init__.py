"""The protocol: who may publish an occurrence, who may run it, and what is promised.

Many beats (*replicas*) and many workers share one store. Nobody leads. Whatever
is decided, is decided by one atomic step in the store; whoever takes such a step
says how long its right lasts, and what it does not finish in that time is free
for all others.

::

      beat  beat  beat                                worker  worker  worker
        |     |     |                                    |       |       |
        |     |     |  claim    +--------------+  begin  |       |       |
        +-----+-----+---------->|    store     |<--------+-------+-------+
        |     |     |  settle   |              |  renew  |       |       |
        |     |     |           | slots, runs, |  finish |       |       |
        |     |     |           | locks, fleet |         |       |       |
        |     |     |           +--------------+         |       |       |
        |     |     |  publish  +--------------+  deliver|       |       |
        +-----+-----+---------->|    broker    |-------->+-------+-------+
                                +--------------+

Two mechanisms, never one
    The **claim of an occurrence** decides once per occurrence. It is a
    compare-and-set on the entry's *slot* (``claim``): a replica takes a due slot
    for the length of a *hold*, publishes what catch-up selects (``plan``), and
    settles: the slot moves to the next occurrence. Only the fence that took the
    slot may settle it. No end of a task ever undoes that.

    The **lease on a lock key** decides one at a time. A run begins under it, it
    is renewed while the run lives, and freed when it ends (``run``, ``lease``).

Two sets
    An entry is in the set of what is due (by the time at which to look at it) or
    in the set of what is held (by the end of its hold), or in neither: its rule
    has ended, or the governing configuration does not know it. A hold that is
    over puts the entry back where it was, so what waited longest comes first.

Which timetable counts
    While a deploy rolls, replicas with different timetables run side by side
    (``fleet``). A configuration is the digest of its entries' names and rules.
    One governs, and only its replicas claim: of those with a *settled* replica
    (one that has reported for as long as the replica timeout) the one that came
    last. Ages are counted by the fleet's own clock, which stands still while
    nobody reports; so an outage of the store changes no governor. A new governor
    plans the entries whose rule differs, and fires none of them. Nobody's start
    deletes anything: an entry that the governor does not know is put out of both
    sets when it is next claimed, and keeps its slot. If it comes back later, it
    goes on with the next occurrence; what was due while it was away is not
    caught up. What is settled by a replica that does not govern (any more) is due
    at once, whatever it says: the governor looks at it, and plans it. A governor is
    in place when the store finds each of its entries planned by its own rule, or
    held: what was read to plan it may be long over.

Stored entries
    An entry may also live in the store, where it is put, changed, paused and
    removed at run time (``stored``, ``definition``). Any replica may claim it,
    whatever configuration governs, and it is planned and published by the
    definition that the claim hands out. Every change gives it a new *revision*
    and never touches a live hold; who holds the slot learns of the change when it
    settles. Nothing fires by being saved, enabled or resumed: an entry is planned
    from its last change on, and what was due before it was resumed is passed over.
    Entries belong to tenants, and tenants with something due take turns
    (``tenant``), so that none waits behind another's backlog.

What is asked for
    Somebody may ask for a run of an entry now, or for its occurrences of times
    past (``asked``). Such a request has a slot of its own, in an index of its own,
    and never touches the entry's. Its id is the cause of its occurrences.

Overlap and delivery
    An entry may ask that nothing is sent while the run before is queued or runs
    (``overlap``): then the run's record decides, when the occurrence is claimed.
    One that is delivered *at most once* moves its slot on before it is published,
    and what goes wrong after that is told, and not repeated.

When
    Time is an argument, integer milliseconds since the Unix epoch, and in
    production it is the store's. No function here asks a clock. Intervals count
    from the epoch, not from a start. The next occurrence follows from the
    scheduled time, never from "now" (``recurrence``).

Leases that are over
    A holder whose lease is over may be dead, or the store may have been away for
    longer than it lived. So whoever asks first gives *notice*: for some
    heartbeats its holder may still renew, or record its end, before anybody else
    begins (``lease``).

Late messages
    A message of an occurrence says until when it may begin (``not_after_ms``),
    and the store's clock judges that, in ``begin``. So a worker whose own clock
    is wrong neither drops a message nor runs one whose run record is gone.

Runs whose worker died
    What a broker brings back begins again, once its lease and notice are over. A
    task may ask for more: then the store keeps its message while the run is open,
    and any replica that finds the run over publishes it again, with the same id,
    until it begins or its window is nearly over (``kept_message``).
    A retry that was recorded and never came is made up for by the attempt that
    asked for it. ``max_starts`` bounds how often a message may kill its worker.

Once per interval
    A key may have one run in each interval of the store's clock, whoever asks.
    The store notes when it had its last; a run of that interval may go on, be
    retried and be run again, and all others are spent.

History
    Every step notes what it made true (``history``), for people. No promise rests
    on it, and where it cannot be written the step is taken all the same.

A store that forgot
    A store has a random name, its *epoch* (``epoch``). Where somebody remembers
    another name, the store was wiped, and for one lock TTL no run begins, so
    that those who hold leases take them back first. A store that nobody
    remembers is new, and nothing waits.

What is promised
----------------

1.  **No leader.** Any number of replicas and workers may be started and stopped
    at any time, and all of them work. Losing one delays only what it held, and
    only until its hold is over.
2.  **An occurrence is (entry, scheduled time, cause).** The cause is empty for
    the timetable, and a request's id for what somebody asked for. Every replica
    computes the same identity, and from it and the key prefix the same task id.
    The replicas' clocks do not matter; the store's does. If it steps forward,
    holds and leases end early by that step: two may overlap, and fencing numbers
    order them. If it steps back, all waits for it.
3.  **Dispatch.** While store and broker keep what they acknowledged, every
    occurrence that catch-up selects is published at least once; what it leaves
    out is reported, with the later one that stands for it. Two live claims of
    one occurrence never exist. A second publish (a replica died, or stood still
    for longer than its hold, between publishing and settling) bears the same
    task id; a ``SingletonTask`` recognises it, any other task runs again. An
    occurrence that cannot be sent for a reason of its own (arguments, encoding,
    routing) is reported and given up after three attempts. What is claimed after
    a change of a stored entry has returned shows the state after it.
4.  **Execution.** Until its window is over, an occurrence of a ``SingletonTask``
    has at most one completed run, provided that its end could be recorded before
    its lease was over or within its notice. One run at a time has a lock key. A
    run whose worker died begins again from the start if its message comes back
    (``acks_late`` with ``reject_on_worker_lost``) or is published again by a beat
    (``on_crash="rerun"``), and not otherwise. After the window a message is
    refused, not run.
5.  **Leases.** The store tells at most one holder "yes" at a time. A holder that
    asks (``check()``) is told "lost" from nine tenths of the TTL after its last
    answered renewal was *asked* for, by a clock of its own that never steps. One
    that does not ask, or is frozen between asking and acting, is stopped only by
    a resource that compares fencing numbers. They only grow.

What is not promised
--------------------

-   A store that forgets acknowledged writes (a failover to a replica that lags,
    eviction, a flush, a restart without persistence) can repeat what it forgot.
    Slots that it forgot are planned anew from that moment on.
-   A broker that loses messages loses runs; the slot has moved on by then. Only
    where an entry has a start deadline, what nobody began is published again
    (``awaited``).
-   ``on_store_outage="run"`` gives up the promise for that run, and says so.
-   Effects outside (an e-mail, a payment) are repeated by a run that died
    half-way and is run again.
-   A run for every occurrence: one that finds its lock key held gives way for good
    and says so, unless ``on_locked="retry"`` lets it wait.
-   A task that is not a ``SingletonTask`` runs once per message delivered.

Each transition is written twice under one name: a pure function here, which is
the specification, and a script in ``store/lua``. Both are run on the same random
histories and must agree.
"""
