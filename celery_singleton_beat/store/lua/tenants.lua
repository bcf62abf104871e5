-- tenants: read what is kept of tenants.
-- ARGV 6… tenants
-- Answer: {epoch, record or '' …}
local answer = {epoch}
for i = 6, #ARGV do
  local text = redis.call('HGET', TENANTS, ARGV[i])
  local fields = split(text, 9)
  answer[#answer + 1] = fields and all_numbers(fields, 1, 9) and text or ''
end
return cjson.encode(answer)
