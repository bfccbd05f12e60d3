package ledger

// indexHourBytes is how many bytes of an entry come before the key.
const indexHourBytes = 3

// indexFunc keeps the index, from message ids to keys. An entry of its own, with
// a TTL of its own, would take more memory than all that it says, so ids share
// buckets, by a hash. A bucket's entry is the hour until which it counts, in three
// bytes, and the key as packKey has it.
//
// A message id has two buckets, a coarse one and a finer one that is used once
// the coarse one has enough: so there are few buckets as long as there are few
// messages, and none is long to look through. What is over in them is removed as
// others are added. See indexKeys.
//
// It needs now and ttl.
const indexFunc = `
local function hourBytes(hour)
  return string.char(math.floor(hour / 65536), math.floor(hour / 256) % 256, hour % 256)
end
-- owner reads an entry, which counts for nothing once it is over.
local function owner(entry)
  if not entry then return nil end
  local a, b, c = string.byte(entry, 1, 3)
  if (a * 65536 + b * 256 + c) * 3600000 < now then return nil end
  return string.sub(entry, 4)
end
local function trim(bucket)
  local all = redis.call('HGETALL', bucket)
  for i = 1, #all, 2 do
    if not owner(all[i + 1]) then redis.call('HDEL', bucket, all[i]) end
  end
end
-- index notes whose message this is, and returns whose it was.
local function index(coarse, fine, message, key)
  local entry = hourBytes(math.ceil((now + ttl) / 3600000)) .. key
  local into, other, n = coarse, fine, redis.call('HLEN', coarse)
  if n >= 128 then
    into, other, n = fine, coarse, redis.call('HLEN', fine)
    -- Each is looked through once in so many additions, which are all of the
    -- same cost then.
    if n % 64 == 0 then trim(coarse) end
    if n > 0 and n % 256 == 0 then
      trim(fine)
      n = redis.call('HLEN', fine)
    end
  end
  local was = redis.call('HGET', other, message)
  if was then
    into = other
    redis.call('HSET', into, message, entry)
  elseif redis.call('HSETNX', into, message, entry) == 0 then
    was = redis.call('HGET', into, message)
    redis.call('HSET', into, message, entry)
  end
  -- A bucket lives at least as long as its last entry. It is given some more,
  -- so that not every addition has to write it.
  if redis.call('PTTL', into) < ttl then redis.call('PEXPIRE', into, ttl + math.floor(ttl / 64)) end
  return owner(was)
end
`
