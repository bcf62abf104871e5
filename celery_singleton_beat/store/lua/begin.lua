-- begin: let a run begin, or say why not.
-- Twin: protocol/lease.begin, protocol/epoch.grace_left_ms, protocol/history.of_begin.
-- KEYS 1 meta, 2 locks, 3 run, 4 lock, 5 awaited, 6 published, 7 progress, 8 history,
--   9 crashable, 10 messages, 11 spent
-- ARGV 6 lock key's name, 7 attempt, 8 holder, 9 ttl ms, 10 window ms, 11 not after ms,
--   12 owner, 13 close if busy (0/1), 14 grace ms, 15 run, 16 entry, 17 scheduled ms,
--   18 awaited (0/1), 19 history limit; where its task asks for them, and otherwise
--   nothing: 20 once ms, 21 max starts, 22 message
-- Answer: {epoch, now, verdict, token, wait ms, starts, owner of the lock}
local name, attempt, holder = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local ttl, window, not_after = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local once, max_starts = tonumber(ARGV[20]) or 0, tonumber(ARGV[21]) or 0

local function answer(verdict, token, wait, starts, owner)
  return cjson.encode({epoch, int(now), verdict, int(token or 0), int(wait or 0),
                       int(starts or 0), owner or ''})
end

local function note(kind, about)
  tell(KEYS[8], ARGV[19], kind, ARGV[16], ARGV[17], ARGV[15], ARGV[7], ARGV[12], about or '')
end

if meta[5] == '1' and tonumber(meta[4]) + tonumber(ARGV[14]) > now then
  return answer('WAIT', 0, tonumber(meta[4]) + tonumber(ARGV[14]) - now)
end
if ARGV[18] == '1' then arrived(KEYS[5], KEYS[6], KEYS[7], ARGV[15], ARGV[16], ARGV[17]) end

local run, lock = read_run(KEYS[3]), read_lock(KEYS[4])

local function close(outcome)
  write_run(KEYS[3], {'done', attempt, holder, 0, 0, kept_after(not_after, window),
                      run and run[7] or 0, outcome, 0})
  note(outcome)
  if redis.call('ZREM', KEYS[9], ARGV[15]) == 1 then redis.call('HDEL', KEYS[10], ARGV[15]) end
end

if not run then
  if not_after > 0 and not_after < now then
    note('refused')
    return answer('REFUSED')
  end
  local spent = once > 0 and split(redis.call('GET', KEYS[11]), 2)
  if spent and math.floor(tonumber(spent[1]) / once) >= math.floor(now / once) then
    close('spent')
    return answer('SPENT')
  end
elseif run[1] == 'done' then
  if run[3] == holder then
    if run[8] == 'skipped' then
      return answer('BUSY', 0, lock and math.max(lock[3] - now, 0), 0, lock and lock[6])
    end
    if run[8] == 'spent' then return answer('SPENT') end
    if run[8] == 'given up' then return answer('GIVEN_UP') end
  end
  return answer('DONE')
elseif attempt < run[2] and not (run[1] == 'waiting' and attempt == run[2] - 1) then
  return answer('STALE')
elseif attempt < run[2] or (run[1] == 'open' and run[3] ~= holder) then
  if run[5] > 0 then
    local left = notice_left(run, 5, 9, function() write_run(KEYS[3], run) end)
    if left > 0 then return answer('TWIN', 0, left) end
  end
  if max_starts > 0 and max_starts <= run[7] - attempt then
    close('given up')
    return answer('GIVEN_UP')
  end
end

if lock and lock[1] == holder then
  if run and run[3] == holder and run[1] == 'open' then
    extend(KEYS[3], KEYS[4], KEYS[2], name, run, lock, ttl, window, not_after)
    redis.call('ZADD', KEYS[9], 'XX', int(now + ttl + NOTICE), ARGV[15])
    return answer('RUN', run[4], 0, run[7])
  end
elseif lock and not (run and run[3] == lock[1]) then
  if lock[3] > now then
    if ARGV[13] == '1' then close('skipped') end
    return answer('BUSY', 0, lock[3] - now, 0, lock[6])
  end
  local left = notice_left(lock, 3, 5, function() write_lock(KEYS[4], KEYS[2], name, lock) end)
  if left > 0 then return answer('WAIT', 0, left) end
end

local starts = run and run[7] + 1 or 1
local token = take(KEYS[3], KEYS[4], KEYS[2], name, attempt, holder, ARGV[12], ttl, window,
                   not_after, starts)
if once > 0 and not run then
  -- Another task may look at it with a longer interval.
  local keep = math.max(redis.call('PTTL', KEYS[11]), 2 * once)
  redis.call('SET', KEYS[11], join(int(now), ARGV[15]), 'PX', int(keep))
end
if ARGV[22] and ARGV[22] ~= '' then
  redis.call('ZADD', KEYS[9], int(now + ttl + NOTICE), ARGV[15])
  redis.call('HSET', KEYS[10], ARGV[15], ARGV[22])
else
  redis.call('ZADD', KEYS[9], 'XX', int(now + ttl + NOTICE), ARGV[15])
end
note('started', name)
return answer('RUN', token, 0, starts)
