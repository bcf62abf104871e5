-- lease: the records of a run and of its lock, for all steps of workers; put
-- behind the prelude of those.
-- Twin: protocol/run.py (Run, Lock), protocol/lease.py (the helpers below its steps).
-- Run fields: 1 state, 2 attempt, 3 holder, 4 token, 5 deadline, 6 keep until,
--   7 starts, 8 outcome, 9 notice.
-- Lock fields: 1 holder, 2 token, 3 deadline, 4 acquired, 5 notice, 6 owner.
-- An attempt is told in twelve words: lock key's name, attempt, holder, ttl ms, window ms, not
--   after ms, owner, run, entry, scheduled ms, at least ms, whether the lock is kept between
--   retries (0/1).
local GRACE, NOTICE = 3600000, 3000

-- A step that is of one run says what is foreign under its keys. One that is of many takes it for
-- no record, and sees to the others.
local get = redis.call

local function read_run(key)
  local run = split(get('GET', key), 9)
  run = run and all_numbers(run, 4, 7) and all_numbers(run, 9, 9)
  if run and run[6] > now then
    run[2] = tonumber(run[2]) or 0
    return run
  end
  return nil
end

local function write_run(key, run)
  local text = join(run[1], int(run[2]), run[3], int(run[4]), int(run[5]), int(run[6]),
                    int(run[7]), run[8], int(run[9]))
  redis.call('SET', key, text, 'PX', int(math.max(run[6] - now, 1)))
end

local function lock_of(text)
  local lock = split(text, 6)
  lock = lock and all_numbers(lock, 2, 5)
  if lock and lock[3] + GRACE > now then return lock end
  return nil
end

local function read_lock(key)
  return lock_of(get('GET', key))
end

local function write_lock(key, index, name, lock)
  local text = join(lock[1], int(lock[2]), int(lock[3]), int(lock[4]), int(lock[5]), lock[6])
  redis.call('SET', key, text, 'PX', int(math.max(lock[3] + GRACE - now, 1)))
  redis.call('ZADD', index, int(lock[3]), name)
end

local function kept_open(not_after, deadline, window)
  return math.max(not_after, deadline + window)
end

local function kept_after(not_after, window)
  return math.max(not_after, now) + window
end

local function take(run_key, lock_key, index, name, attempt, holder, owner, ttl, window,
                    not_after, starts)
  local token, deadline = next_fence(), now + ttl
  fence = token
  redis.call('HSET', KEYS[1], 'fence', int(token))
  write_run(run_key, {'open', attempt, holder, token, deadline,
                      kept_open(not_after, deadline, window), starts, '', 0})
  write_lock(lock_key, index, name, {holder, token, deadline, now, 0, owner})
  return token
end

local function extend(run_key, lock_key, index, name, run, lock, ttl, window, not_after)
  run[5] = now + ttl
  run[6] = kept_open(not_after, run[5], window)
  lock[3] = run[5]
  run[9], lock[5] = 0, 0
  write_run(run_key, run)
  write_lock(lock_key, index, name, lock)
end

-- For how long a lease that is over is its holder's all the same; noted where nobody has asked.
local function notice_left(record, deadline_at, notice_at, write)
  if record[deadline_at] <= now and record[notice_at] == 0 then
    record[notice_at] = now + NOTICE
    write()
  end
  return math.max(record[deadline_at], record[notice_at]) - now
end

-- What is left of a lock when its holder ends: as a rule, nothing. `hold` is for how long it
-- is kept between retries (0 = it is not).
local function let_go(lock_key, index, name, holder, outcome, at_least, hold)
  local lock, until_ms = read_lock(lock_key), 0
  if not lock or lock[1] ~= holder then return end
  if outcome and outcome ~= 'interrupted' then
    until_ms = math.min(lock[4], now) + at_least
    if outcome == 'retrying' and hold > 0 then until_ms = math.max(until_ms, now + hold) end
  end
  if until_ms > now then
    lock[3], lock[5] = until_ms, until_ms
    write_lock(lock_key, index, name, lock)
  else
    redis.call('DEL', lock_key)
    redis.call('ZREM', index, name)
  end
end

-- A message has arrived, and what it is for has begun or never will: the beats need not wait for it.
local function arrived(awaited, published, progress, run, entry, scheduled)
  redis.call('ZREM', awaited, run)
  redis.call('HDEL', published, run)
  local begun = whole(redis.call('HGET', progress, 'b:' .. entry)) or 0
  redis.call('HSET', progress, 'b:' .. entry, int(math.max(begun, tonumber(scheduled))))
end

-- It did not begin, and its message comes again in a while: until then it may be lost, as before.
local function put_off(awaited, published, run, wait)
  local fields = split(redis.call('HGET', published, run), 7)
  local deadline = fields and whole(fields[2])
  if deadline then redis.call('ZADD', awaited, int(now + wait + deadline), run) end
end
