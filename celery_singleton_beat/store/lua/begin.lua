-- begin: let a run begin, or say why not.
-- Twin: protocol/lease.begin, protocol/kept_message.of, protocol/epoch.grace_left_ms, protocol/history.of_begin.
-- KEYS 1 meta, 2 locks, 3 awaited, 4 published, 5 progress, 6 history, 7 crashable,
--   8 messages, 9 run, 10 lock, 11 spent, 12 cancelled
-- ARGV 6-17 the attempt (lease), 18 awaited (0/1), 19 history limits, 20 close if busy (0/1),
--   21 grace ms; where its task asks for them, and otherwise nothing, nor KEYS 11 and 12: 22
--   once ms, 23 max starts, 24 message, 25 revision
-- Answer: {epoch, now, verdict, token, wait ms, starts, owner of the lock}
local DAY = 86400000
local name, attempt, holder = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local ttl, window, not_after = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local once, max_starts = tonumber(ARGV[22]) or 0, tonumber(ARGV[23]) or 0
local message, revision = ARGV[24] or '', tonumber(ARGV[25]) or 0

local function told(verdict, token, wait, starts, owner)
  return cjson.encode({epoch, int(now), verdict, int(token or 0), int(wait or 0),
                       int(starts or 0), owner or ''})
end

local function arrives()
  if ARGV[18] == '1' then arrived(KEYS[3], KEYS[4], KEYS[5], ARGV[13], ARGV[14], ARGV[15]) end
end

local function answer(...)
  arrives()
  return told(...)
end

local function later(verdict, wait, owner)
  if ARGV[18] == '1' then put_off(KEYS[3], KEYS[4], ARGV[13], wait) end
  -- A twin's lease, or the retry that it waits for, says when its message is needed.
  if message ~= '' and verdict ~= 'TWIN' then
    local kept = split(redis.call('HGET', KEYS[8], ARGV[13]), 3)
    local deadline = kept and whole(kept[1])
    if deadline then redis.call('ZADD', KEYS[7], 'XX', int(now + wait + deadline), ARGV[13]) end
  end
  return told(verdict, 0, wait, 0, owner)
end

local function note(kind, about)
  tell(KEYS[6], ARGV[19], kind, ARGV[14], ARGV[15], ARGV[13], ARGV[7], ARGV[12], about or '',
       name)
end

local function note_only_figure(figure)
  count(KEYS[6], ARGV[19], ARGV[14], name, {figure, 1})
end

if meta[5] == '1' and tonumber(meta[4]) + tonumber(ARGV[21]) > now then
  return later('WAIT', tonumber(meta[4]) + tonumber(ARGV[21]) - now)
end

local run, lock = read_run(KEYS[9]), read_lock(KEYS[10])
local function least_revision()
  return counter(redis.call('GET', KEYS[12]))
end

-- It was called back, and this message is of a later revision: it was published anew.
if run and run[1] == 'done' and run[8] == 'cancelled' and revision > 0 then
  if revision >= least_revision() then run = nil end
end

local function drop_message()
  if redis.call('ZREM', KEYS[7], ARGV[13]) == 1 then redis.call('HDEL', KEYS[8], ARGV[13]) end
end

local function close(outcome)
  write_run(KEYS[9], {'done', attempt, holder, 0, 0, kept_after(not_after, window),
                      run and run[7] or 0, outcome, 0})
  note(outcome)
  drop_message()
end

if not run then
  if not_after > 0 and not_after < now then
    note('refused')
    drop_message()
    return answer('REFUSED')
  end
  if revision > 0 and revision < least_revision() then
    close('cancelled')
    return answer('CANCELLED')
  end
  local spent = once > 0 and split(redis.call('GET', KEYS[11]), 1)
  spent = spent and all_numbers(spent, 1, 1)
  if spent and math.floor(spent[1] / once) >= math.floor(now / once) then
    close('spent')
    return answer('SPENT')
  end
elseif run[1] == 'done' then
  if run[3] == holder then
    if run[8] == 'skipped' then
      return answer('BUSY', 0, lock and math.max(lock[3] - now, 0), 0, lock and lock[6])
    end
    if run[8] == 'spent' then return answer('SPENT') end
    if run[8] == 'cancelled' then return answer('CANCELLED') end
    if run[8] == 'given up' then return answer('GIVEN_UP') end
  end
  note_only_figure('duplicate')
  return answer('DONE')
elseif attempt < run[2] and not (run[1] == 'waiting' and attempt == run[2] - 1) then
  note_only_figure('duplicate')
  return answer('STALE')
elseif attempt < run[2] or (run[1] == 'open' and run[3] ~= holder) then
  if run[5] > 0 then
    local left = notice_left(run, 5, 9, function() write_run(KEYS[9], run) end)
    if left > 0 then return later('TWIN', left) end
  end
  if max_starts > 0 and max_starts <= run[7] - attempt then
    close('given up')
    return answer('GIVEN_UP')
  end
end

if lock and lock[1] == holder then
  if run and run[3] == holder and run[1] == 'open' then
    arrives()
    extend(KEYS[9], KEYS[10], KEYS[2], name, run, lock, ttl, window, not_after)
    redis.call('ZADD', KEYS[7], 'XX', int(now + ttl + NOTICE), ARGV[13])
    return told('RUN', run[4], 0, run[7])
  end
elseif lock and not (run and run[3] == lock[1]) then
  if lock[3] > now then
    note_only_figure('busy')
    if ARGV[20] ~= '1' then return later('BUSY', lock[3] - now, lock[6]) end
    close('skipped')
    return answer('BUSY', 0, lock[3] - now, 0, lock[6])
  end
  local left = notice_left(lock, 3, 5, function() write_lock(KEYS[10], KEYS[2], name, lock) end)
  if left > 0 then return later('WAIT', left) end
end

-- A value of another kind under these keys ends the script: before anything is taken.
arrives()
local starts = run and run[7] + 1 or 1
local token = take(KEYS[9], KEYS[10], KEYS[2], name, attempt, holder, ARGV[12], ttl, window,
                   not_after, starts)
if once > 0 and not run then
  -- Another task may look at it with a longer interval.
  local keep = math.max(redis.call('PTTL', KEYS[11]), 2 * once)
  redis.call('SET', KEYS[11], join(int(now)), 'PX', int(keep))
end
if message ~= '' then
  redis.call('ZADD', KEYS[7], int(now + ttl + NOTICE), ARGV[13])
  local longest = math.min(math.floor(window / 2), DAY)
  local deadline = math.min(ttl + NOTICE, longest)
  redis.call('HSET', KEYS[8], ARGV[13], join(int(deadline), int(longest), message))
else
  redis.call('ZADD', KEYS[7], 'XX', int(now + ttl + NOTICE), ARGV[13])
end
note('started', name)
return told('RUN', token, 0, starts)
