package replies

import "github.com/redis/go-redis/v9"

// The scripts of a group have the same first keys and arguments:
//
//	KEYS[1] ledger.ReplyStreamKey
//	KEYS[2] and KEYS[3] ledger.RetryRepliesKeys of the group
//	KEYS[4] ledger.DeadRepliesKey
//	KEYS[5] ledger.TakenRepliesKey, which only takeScript uses
//	ARGV[1] the group
//	ARGV[2] record TTL, ms
//
// An event that is delivered for the first time is pending in the stream's
// group, as XREADGROUP leaves it. All later deliveries are made from the retry
// set, so an event that fails leaves the pending ones. There its score is when
// it comes again: the end of its wait, or of the lease of the consumer that has
// it. The hash has fields of each event: its id (the JSON), id:n (deliveries),
// id:by (token of the last delivery) and id:err (the last error).
const groupPrelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local stream, due, events, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, ttl = ARGV[1], tonumber(ARGV[2])

local function pending(id)
  local p = redis.pcall('XPENDING', stream, group, id, id, 1)
  return not p.err and #p > 0
end

local function forget(id)
  redis.call('XACK', stream, group, id)
  if redis.call('ZREM', due, id) == 1 then
    redis.call('HDEL', events, id, id .. ':n', id .. ':by', id .. ':err')
  end
end

local function keep(id, at, event, n, by, err)
  redis.call('HSET', events, id, event, id .. ':n', n, id .. ':by', by, id .. ':err', err)
  redis.call('ZADD', due, int(at), id)
  redis.call('PEXPIRE', due, int(ttl))
  redis.call('PEXPIRE', events, int(ttl))
end

local function bury(id, event, n, by, err)
  forget(id)
  redis.call('XADD', dead, 'MINID', '~', int(now - ttl), '*', 'group', group, 'id', id,
    'event', event, 'deliveries', n, 'error', err, 'delivery', by)
end

local lost = 'the consumer ended before the handler did'
`

// takeScript takes the events that are due for another delivery. Before that
// it moves what is pending at consumers of which nothing was heard to the retry
// set. Those that were delivered as often as they may be are dead. Sent twice it
// gives the same result, which is at KEYS[5] for a minute if there is anything in
// it.
//
//	ARGV[3] how many to take at most
//	ARGV[4] ms for which nothing must have been heard; also the lease
//	ARGV[5] token of the deliveries
//	ARGV[6] most deliveries
//
// Result: {how many are in the retry set, how many were moved to it, how many
// were pending and no longer in the stream, ids of dead ones, taken ones as id,
// event, deliveries, id, …}.
var takeScript = redis.NewScript(groupPrelude + `
local limit, after, by, max = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local last = redis.call('GET', KEYS[5])
if last then
  last = cjson.decode(last)
  if last.by == by then return last.result end
end
local idle = redis.pcall('XPENDING', stream, group, 'IDLE', after, '-', '+', 1000)
if idle.err then return idle end
local moved, trimmed, buried, taken = 0, 0, {}, {}
for _, p in ipairs(idle) do
  local entry = redis.call('XRANGE', stream, p[1], p[1])[1]
  redis.call('XACK', stream, group, p[1])
  if entry then
    local event = ''
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'event' then event = entry[2][i + 1] end
    end
    keep(p[1], now, event, 1, p[2], lost)
    moved = moved + 1
  else
    trimmed = trimmed + 1
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', int(now), 'LIMIT', 0, limit)) do
  local f = redis.call('HMGET', events, id, id .. ':n', id .. ':by', id .. ':err')
  local n = tonumber(f[2] or 0)
  if not f[1] then
    redis.call('ZREM', due, id)
  elseif n >= max then
    bury(id, f[1], n, f[3], f[4])
    buried[#buried + 1] = id
  else
    keep(id, now + after, f[1], n + 1, by, lost)
    for _, v in ipairs({id, f[1], n + 1}) do taken[#taken + 1] = v end
  end
end
local result = {redis.call('ZCARD', due), moved, trimmed, buried, taken}
if moved + trimmed + #buried + #taken > 0 then
  redis.call('SET', KEYS[5], cjson.encode({by = by, result = result}), 'PX', 60000)
end
return result
`)

// doneScript forgets an event that was handled, whoever has it meanwhile.
//
//	ARGV[3] the event's id
//
// Result: 1.
var doneScript = redis.NewScript(groupPrelude + `
forget(ARGV[3])
return 1
`)

// failScript keeps an event that was not handled, for another delivery or as a
// dead one, unless it has moved on: handled, or delivered to another consumer.
// One that was trimmed from the stream while it was handled is kept all the same.
//
//	ARGV[3] the event's id
//	ARGV[4] token of the delivery
//	ARGV[5] the event
//	ARGV[6] deliveries to count
//	ARGV[7] the error
//	ARGV[8] ms until the next delivery, or -1 if it is dead
//
// Result: 1 if it is kept, 0 if it has moved on.
var failScript = redis.NewScript(groupPrelude + `
local id, by, wait = ARGV[3], ARGV[4], tonumber(ARGV[8])
if not pending(id) and redis.call('HGET', events, id .. ':by') ~= by then
  if redis.call('HEXISTS', events, id) == 1 then return 0 end
  for _, d in ipairs(redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 10)) do
    -- The same call, sent twice.
    if d[2][4] == id and d[2][12] == by then return 1 end
  end
  if #redis.call('XRANGE', stream, id, id) == 1 then return 0 end
end
if wait < 0 then
  bury(id, ARGV[5], ARGV[6], by, ARGV[7])
else
  redis.call('XACK', stream, group, id)
  keep(id, now + wait, ARGV[5], ARGV[6], by, ARGV[7])
end
return 1
`)

// holdScript says that events are in the hands of a consumer that lives.
// JUSTID leaves the number of deliveries alone, and XCLAIM the events that are
// no longer pending.
//
//	ARGV[3] the consumer
//	ARGV[4] the lease, ms
//	ARGV[5], ARGV[6], … the ids of events, each with the token of its delivery
//
// Result: 1.
var holdScript = redis.NewScript(groupPrelude + `
local ids = {}
for i = 5, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  if redis.call('HGET', events, ARGV[i] .. ':by') == ARGV[i + 1] then
    redis.call('ZADD', due, 'XX', int(now + ARGV[4]), ARGV[i])
  end
end
local claim = {'XCLAIM', stream, group, ARGV[3], 0}
for _, id in ipairs(ids) do
  if pending(id) then claim[#claim + 1] = id end
end
if #claim > 5 then
  claim[#claim + 1] = 'JUSTID'
  redis.call(unpack(claim))
end
return 1
`)

// pruneScript removes consumers that have nothing pending and are gone. It is a
// script because removing a consumer drops what it has pending.
//
//	ARGV[3] a consumer that says itself that it is gone, or empty
//	ARGV[4] ms without a sign after which the others are
//
// Result: how many were removed.
var pruneScript = redis.NewScript(groupPrelude + `
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
if consumers.err then return 0 end
local removed = 0
for _, c in ipairs(consumers) do
  local f = {}
  for i = 1, #c, 2 do f[c[i]] = c[i + 1] end
  if f.pending == 0 and (f.name == ARGV[3] or f.idle >= tonumber(ARGV[4])) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, f.name)
    removed = removed + 1
  end
end
return removed
`)

// redeliverScript has a dead event delivered to its group again, as if it had
// never been.
//
//	ARGV[3] id of the dead event, ARGV[4] that of the event
//	ARGV[5] token of the call
//
// Result: 1 if it will be delivered, 0 if there is no such dead event.
var redeliverScript = redis.NewScript(groupPrelude + `
local entry = redis.call('XRANGE', dead, ARGV[3], ARGV[3])[1]
if not entry then
  if redis.call('HGET', events, ARGV[4] .. ':by') == ARGV[5] then return 1 end
  return 0
end
local f = {}
for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
redis.call('XDEL', dead, ARGV[3])
keep(ARGV[4], now, f.event, 0, ARGV[5], f.error)
return 1
`)
