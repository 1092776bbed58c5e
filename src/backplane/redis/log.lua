-- What both scripts begin with.

local function by_name(list)
  local fields = {}
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  return fields
end

-- The epoch of the stream, and the id after which it begins. It is the name of a consumer group that
-- nobody reads by: so it is a part of the stream, and neither can be lost without the other.
local function epoch_of(stream, new)
  for attempt = 1, 2 do
    if redis.call('EXISTS', stream) == 1 then
      for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        local fields = by_name(group)
        local epoch = string.match(fields['name'], '^longpoll:(%x+)$')
        if epoch then
          return epoch, fields['last-delivered-id']
        end
      end
    end
    redis.call('XGROUP', 'CREATE', stream, 'longpoll:' .. new, '$', 'MKSTREAM')
  end
end

