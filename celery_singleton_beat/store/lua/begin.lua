-- begin: let a run begin, or say why not.
-- Twin: protocol/lease.begin, protocol/epoch.grace_left_ms.
-- KEYS 1 meta, 2 locks, 3 run, 4 lock, 5 awaited, 6 published, 7 progress
-- ARGV 6 lock key's name, 7 attempt, 8 holder, 9 ttl ms, 10 window ms, 11 not after ms,
--   12 owner, 13 close if busy (0/1), 14 grace ms, 15 run, 16 the entry that awaits it
--   ('' = none), 17 scheduled ms
-- Answer: {epoch, now, verdict, token, wait ms, starts, owner of the lock}
local name, attempt, holder = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local ttl, window, not_after = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local function answer(verdict, token, wait, starts, owner)
  return cjson.encode({epoch, int(now), verdict, int(token or 0), int(wait or 0),
                       int(starts or 0), owner or ''})
end

if meta[5] == '1' and tonumber(meta[4]) + tonumber(ARGV[14]) > now then
  return answer('WAIT', 0, tonumber(meta[4]) + tonumber(ARGV[14]) - now)
end

-- Its message has arrived: whatever the answer is, the beats need not wait for it.
if ARGV[16] ~= '' then
  redis.call('ZREM', KEYS[5], ARGV[15])
  redis.call('HDEL', KEYS[6], ARGV[15])
  local begun = tonumber(redis.call('HGET', KEYS[7], 'b:' .. ARGV[16])) or 0
  redis.call('HSET', KEYS[7], 'b:' .. ARGV[16], int(math.max(begun, tonumber(ARGV[17]))))
end

local run, lock = read_run(KEYS[3]), read_lock(KEYS[4])
if not run then
  if not_after > 0 and not_after < now then return answer('REFUSED') end
elseif run[1] == 'done' then
  if run[8] == 'skipped' and run[3] == holder then
    return answer('BUSY', 0, lock and math.max(lock[3] - now, 0), 0, lock and lock[6])
  end
  return answer('DONE')
elseif attempt < run[2] then
  return answer('STALE')
elseif run[1] == 'open' and run[3] ~= holder and run[5] > 0 then
  local notice = noticed(run[5], run[9])
  if notice ~= run[9] then
    run[9] = notice
    write_run(KEYS[3], run)
  end
  if left(run[5], run[9]) > 0 then return answer('TWIN', 0, left(run[5], run[9])) end
end

if lock and lock[1] == holder then
  if run and run[3] == holder and run[1] == 'open' then
    extend(KEYS[3], KEYS[4], KEYS[2], name, run, lock, ttl, window, not_after)
    return answer('RUN', run[4], 0, run[7])
  end
elseif lock and lock[3] <= now then
  if not (run and run[3] == lock[1]) then
    local notice = noticed(lock[3], lock[5])
    if notice ~= lock[5] then
      lock[5] = notice
      write_lock(KEYS[4], KEYS[2], name, lock)
    end
    if left(lock[3], lock[5]) > 0 then return answer('WAIT', 0, left(lock[3], lock[5])) end
  end
elseif lock then
  if ARGV[13] == '1' then
    write_run(KEYS[3], {'done', attempt, holder, 0, 0, kept_after(not_after, window),
                        run and run[7] or 0, 'skipped', 0})
  end
  return answer('BUSY', 0, lock[3] - now, 0, lock[6])
end

local starts = run and run[7] + 1 or 1
local token = take(KEYS[3], KEYS[4], KEYS[2], name, attempt, holder, ARGV[12], ttl, window,
                   not_after, starts)
return answer('RUN', token, 0, starts)
