-- renew: keep leases alive, all of a process at once.
-- Twin: protocol/lease.renew, protocol/history.of_renew.
-- KEYS 1 meta, 2 locks, 3 crashable, 4 messages, 5 history, then per lease: run, lock
-- ARGV 6 history limits, then per lease: the attempt (lease), the token it was given (0 = none)
-- Answer: {epoch, verdict, token, verdict, token …}
local answer = {epoch}
get = redis.pcall
for i = 1, (#KEYS - 5) / 2 do
  local at, run_key, lock_key = 13 * i - 6, KEYS[2 * i + 4], KEYS[2 * i + 5]
  local name, attempt, holder = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local ttl, window, not_after = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local run, lock = read_run(run_key), read_lock(lock_key)
  local verdict, token = 'KEPT', 0
  if not run then
    local had_token = tonumber(ARGV[at + 12])
    if had_token == 0 then
      verdict = 'UNKNOWN'
    elseif tonumber(meta[4]) * 1000 <= had_token or tonumber(meta[4]) + ttl <= now then
      verdict = 'LOST'
    elseif lock and lock[1] ~= holder then
      verdict = 'LOST'
    else
      verdict = 'RESTORED'
      token = take(run_key, lock_key, KEYS[2], name, attempt, holder, ARGV[at + 6], ttl, window,
                   not_after, 1)
    end
  elseif run[3] ~= holder then
    verdict = 'LOST'
  elseif run[1] ~= 'open' then
    verdict = 'ENDED'
  elseif not lock or lock[1] ~= holder then
    verdict = 'LOST'
  else
    token = run[4]
    extend(run_key, lock_key, KEYS[2], name, run, lock, ttl, window, not_after)
    redis.call('ZADD', KEYS[3], 'XX', int(now + ttl + NOTICE), ARGV[at + 7])
  end
  if verdict == 'LOST' then
    tell(KEYS[5], ARGV[6], 'lost', ARGV[at + 8], ARGV[at + 9], ARGV[at + 7], ARGV[at + 1],
         ARGV[at + 6], '', name)
  end
  answer[#answer + 1] = verdict
  answer[#answer + 1] = int(token)
end
-- The index outlives its locks by a day at most.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', int(now - 86400000))
return cjson.encode(answer)
