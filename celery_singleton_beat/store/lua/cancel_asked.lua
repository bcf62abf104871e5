-- cancel_asked: close requests that are open.
-- Twin: MemoryAsked.cancel_asked.
-- ARGV 6 history limits, 7 kind of the fact, 8 by, 9… requests
-- Answer: {epoch, whether it was open (0/1) …}
local answer = {epoch}
for i = 9, #ARGV do
  local ask = read_ask(redis.call('HGET', ASKS, ARGV[i]))
  local is_open = ask and redis.call('ZSCORE', index_of(ask), ARGV[i])
  if is_open then drop(ARGV[i], ask, ARGV[7], ARGV[8], ARGV[6]) end
  answer[#answer + 1] = is_open and 1 or 0
end
return cjson.encode(answer)
