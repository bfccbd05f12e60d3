package ledger

import "github.com/redis/go-redis/v9"

// commitSentScript records that a message exists. It is never refused: an
// attempt whose worker was thought dead may have created the message after
// all, and then nothing else matters.
//
//	KEYS[11]    the index entry of the message id (unused if ARGV[9] is empty)
//	ARGV[3..8]  as createFunc, for a record that Redis has lost
//	ARGV[9]     message id, may be empty
//	ARGV[10]    conversation id, may be empty
//	ARGV[11]    error (JSON), may be empty
//	ARGV[12]    the task's payload, kept to find a message whose id is unknown
//
// Result: the key that the message id was known to belong to, if another.
var commitSentScript = redis.NewScript(prelude + createFunc + identifyFunc + `
local state = redis.call('HGET', record, 's')
if not state then create() end
if ARGV[9] == '' then
  if state == 'sent' or state == 'replied' then return '' end
  redis.call('HDEL', record, 't', 'u', 'w', 'na', 'cs', 'ct', 'f', 'fs', 'nx')
  redis.call('HSET', record, 'sa', int(now), 'er', ARGV[11])
  unsettle(ARGV[12])
  list(unidentified)
  enter(state, 'sent')
  return ''
end
local other = redis.call('GET', KEYS[11])
identify(state)
if other and other ~= id then return other end
return ''
`)

// identifyFunc records the id of a message that exists: ARGV[9], KEYS[11] and
// ARGV[10] as in commitSentScript.
const identifyFunc = `
local function identify(state)
  local f = redis.call('HMGET', record, 'id', 'pd', 'sa')
  local known = f[1]
  redis.call('SET', KEYS[11], id, 'PX', int(ttl))
  redis.call('ZREM', unidentified, id)
  if known and known ~= ARGV[9] then
    -- A second copy was created: replies to either are matched.
    redis.call('HSET', record, 'pd', '1')
    return
  end
  redis.call('HSET', record, 'id', ARGV[9])
  if ARGV[10] ~= '' then redis.call('HSET', record, 'cv', ARGV[10]) end
  -- Of a message that was sent again there may be one more copy to find.
  if f[2] ~= '1' then settled() end
  redis.call('HDEL', record, 't', 'u', 'w', 'na', 'cs', 'ct', 'f', 'fs', 'er', 'nx')
  if state == 'sent' or state == 'replied' then return end
  redis.call('HSET', record, 'sa', int(now))
  enter(state, 'sent')
end
`

// settleScript records that a message was found in Intercom.
//
//	KEYS[11]  the index entry of the message id
//	ARGV[3]   '1': found by search or in a notification, and only taken for
//	          this message if no other has this id
//	ARGV[9]   message id
//	ARGV[10]  conversation id, may be empty
//
// Result: {verdict, state or the other message's key}.
var settleScript = redis.NewScript(prelude + identifyFunc + `
local state = redis.call('HGET', record, 's')
if not state then return {'gone', ''} end
local other = redis.call('GET', KEYS[11])
if other and other ~= id then return {'taken', other} end
local sent = state == 'sent' or state == 'replied'
if other == id and sent then return {'settled', state} end
if ARGV[3] == '1' then
  if redis.call('HEXISTS', record, 'us') == 0 then return {'refused', state} end
elseif state == 'sending' or state == 'waiting' or sent and redis.call('HEXISTS', record, 'id') == 1 then
  return {'refused', state}
end
identify(state)
return {'settled', redis.call('HGET', record, 's')}
`)

// commitScript leaves Sending for a state other than Sent.
//
//	ARGV[3]  token of the attempt
//	ARGV[4]  the state to enter
//	ARGV[5]  error (JSON)
//	ARGV[6]  next attempt at, ms, 0 for none
//	ARGV[7]  contact missing since, ms, 0 for not
//	ARGV[8]  contact tries
//	ARGV[9]  failures
//	ARGV[10] failing since, ms, 0 for not
//	ARGV[11] the task's payload, kept in case that asynq loses the task
//
// Result: {1 if committed, else 0, state}.
var commitScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't', 'un', 'a')
local state, to = f[1], ARGV[4]
if f[2] ~= ARGV[3] then return {0, state or ''} end
if state == to then return {1, state} end
-- An attempt that was given up for dead may still say what it did.
if state ~= 'sending' and state ~= 'uncertain' then return {0, state or ''} end
redis.call('HSET', record, 'er', ARGV[5])
local function put(name, value)
  if value == '0' or value == '' then redis.call('HDEL', record, name)
  else redis.call('HSET', record, name, value) end
end
put('na', ARGV[6]); put('cs', ARGV[7]); put('ct', ARGV[8]); put('f', ARGV[9]); put('fs', ARGV[10])
redis.call('HDEL', record, 'w')
if to == 'uncertain' then
  unsettle(ARGV[11])
else
  -- No earlier attempt than this one was unsettled.
  if f[3] and f[3] == f[4] then settled() end
  redis.call('HSET', record, 'p', ARGV[11])
end
enter(state, to)
return {1, to}
`)

// abandonScript leaves Sending where nothing was sent: for Waiting, or for
// Uncertain if an attempt before may have created the message. All counts stay.
//
//	ARGV[3] token of the attempt
//	ARGV[4] the number of the uncertain attempt that it was to repeat, or empty
//
// Result: 1 if the attempt was under way, else 0.
var abandonScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't')
if f[1] ~= 'sending' or f[2] ~= ARGV[3] then return 0 end
redis.call('HDEL', record, 'w')
enter('sending', ARGV[4] ~= '' and 'uncertain' or 'waiting')
return 1
`)

// lookAgainScript notes when an uncertain message will be looked for again.
//
//	ARGV[3] attempts: the number of the attempt that is being settled
//	ARGV[4] next look at, ms
//
// Result: the state that stands.
var lookAgainScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'a')
if f[1] == 'uncertain' and f[2] == ARGV[3] then redis.call('HSET', record, 'na', ARGV[4]) end
return f[1] or ''
`)
