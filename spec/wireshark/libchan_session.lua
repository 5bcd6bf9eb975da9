-- What the frames of one connection say together (spec/3-session.md, 4-channels.md): what an id is, which frame began a
-- message, and rules that no frame breaks by itself. A module of libchan.lua; loaded by itself it does nothing.
--
-- A side is 1 or 2, in the order in which the capture shows them. Numbers are those of packets.

local registry = require("libchan_registry")
local MAX_HELLO = 16384
-- So long may the way to a nested channel be that stands in the fields `libchan.channel` and `libchan.stream`.
local MAX_PATH = 200

local Session = {}
Session.__index = Session

local function new()
  return setmetatable({ hello = {}, preface = {}, goodbye = {}, spoken = {}, half = {}, ids = {}, pings = { {}, {} } },
    Session)
end

-- The limit in force: the smaller of both sides, as far as the capture has their hellos.
function Session:limit(name)
  local least
  for side = 1, 2 do
    local stated = self.hello[side] and self.hello[side][name]
    if stated and (not least or stated < least) then
      least = stated
    end
  end
  return least or registry.DEFAULTS[name]
end

-- How long a frame of this type may be.
function Session:longest(kind)
  return kind == "HELLO" and MAX_HELLO or math.max(self:limit("max_frame"), 4096)
end

-- Whether both sides have been seen from their first byte on, so that an id that is not known never was.
function Session:is_whole()
  return self.preface[1] and self.preface[2]
end

local function note(facts, expert, text)
  facts.notes[#facts.notes + 1] = { expert, text }
end

-- A new id.
function Session:announce(side, number, id, one, facts)
  local half = id % 2
  if id == 0 or (self.half[side] or half) ~= half or self.half[3 - side] == half then
    note(facts, "rule", "CH-01: the id " .. id .. " is not of this side's half")
  else
    self.half[side] = half
  end
  one.announced, one.over = number, {}
  self.ids[id] = one
end

-- The way to what travels in a message: the channel's and its own id.
local function path(entry, id)
  local way = (entry and entry.path or "?") .. " > " .. id
  return #way <= MAX_PATH and way or "... > " .. id
end

-- The entry of a frame's id, which has to be a channel or a stream ("what"), with its name among the facts.
function Session:entry(m, side, what, facts)
  local entry = self.ids[m.id]
  if not entry then
    local late = (m.type == "CREDIT" or m.type == "CANCEL") and m.id ~= 0 and self.half[side] == m.id % 2
    if self:is_whole() and not late then
      note(facts, "rule", "FR-09: the id " .. m.id .. " is not in use")
    end
    return nil
  end
  facts.announced = entry.announced
  facts[entry.what] = entry.path
  if what and entry.what ~= what then
    note(facts, "rule", "FR-33: the id " .. m.id .. " is that of a " .. entry.what)
    return nil
  end
  return entry
end

-- Judges who sends on a channel, and what follows the last frame of a side. "s" and "r" are the halves of a side: what it
-- says as one who sends, and as one who receives.
function Session:speaks(entry, side, number, m, half, facts)
  if entry.sender and (entry.sender == side) ~= (half == "s") then
    note(facts, "rule", "FR-32: a " .. m.type .. " from the other end")
  end
  local last = entry.over[side .. half]
  if last then
    note(facts, "note", m.type .. " after the last frame of this side in packet " .. last)
  end
  if m.type == "CLOSE" or m.type == "CANCEL" or m.type == "END" or m.type == "STOP" then
    entry.over[side .. half] = number
  end
end

local TRACK = {}

function TRACK.HELLO(self, side, number, m, facts)
  if self.hello[side] then
    note(facts, "rule", "SE-03: a second HELLO")
  else
    self.hello[side] = m.hello
  end
end

function TRACK.OPEN(self, side, number, m, facts)
  self:announce(side, number, m.id, { what = "channel", path = m.shown, sender = side }, facts)
  facts.channel = m.shown
end

-- What a message announces: its own ids, and those whose message has not been put together wait for nothing.
function Session:carried(side, number, m, entry, facts)
  for _, one in ipairs(m.attachments) do
    local way = path(entry, one.id)
    if one.kind == 1 or one.kind == 2 then
      local sender = one.kind == 1 and 3 - side or side
      self:announce(side, number, one.id, { what = "channel", path = way, sender = sender }, facts)
    elseif one.kind == 3 then
      self:announce(side, number, one.id, { what = "stream", path = way }, facts)
    elseif one.kind == 5 and self:is_whole() and not self.ids[one.id] then
      note(facts, "rule", "AT-07: the id " .. one.id .. " is not in use")
    end
  end
end

function TRACK.MESSAGE(self, side, number, m, facts, keep)
  local entry = self:entry(m, side, "channel", facts)
  if #m.attachments > self:limit("max_attachments") then
    note(facts, "malformed", "FR-19: more attachments than max_attachments")
  end
  if (m.total or m.payload_length) > self:limit("max_message") then
    note(facts, "malformed", "FR-20: a message above max_message")
  end
  if m.total and m.payload_length >= m.total then
    note(facts, "malformed", "FR-24: all of `total` is there, or more")
  end
  self:carried(side, number, m, entry, facts)
  if not entry then
    return
  end
  self:speaks(entry, side, number, m, "s", facts)
  if entry.message then
    note(facts, "rule", "FR-25: the message of packet " .. entry.message.begun .. " is not complete")
    entry.message = nil
  end
  if m.total then
    entry.message = { begun = number, total = m.total, sum = m.payload_length, index = 0, codec = m.codec,
      parts = m.total <= keep and { m.payload } or nil }
    facts.sum, facts.total = m.payload_length, m.total
  end
end

function TRACK.FRAGMENT(self, side, number, m, facts)
  local entry = self:entry(m, side, "channel", facts)
  if not entry then
    return
  end
  self:speaks(entry, side, number, m, "s", facts)
  local message = entry.message
  if not message then
    note(facts, "rule", "FR-23: no message of this channel is to be continued")
    return
  end
  message.index, message.sum = message.index + 1, message.sum + m.payload_length
  facts.begun, facts.index, facts.sum, facts.total = message.begun, message.index, message.sum, message.total
  if message.sum > message.total or (message.sum == message.total) == (m.flags.MORE == true) then
    note(facts, "rule", string.format("FR-24: %d bytes of %d", message.sum, message.total))
    message.parts = nil
  end
  if message.parts then
    message.parts[#message.parts + 1] = m.payload
  end
  if not m.flags.MORE then
    facts.parts, facts.codec = message.parts, message.codec
    entry.message = nil
  end
end

function TRACK.CREDIT(self, side, number, m, facts)
  if m.taken == 0 and m.wanted == 0 and m.bytes == 0 then
    note(facts, "note", "a CREDIT of nothing")
  end
  local entry = m.id ~= 0 and self:entry(m, side, nil, facts)
  if not entry then
    return
  end
  self:speaks(entry, side, number, m, "r", facts)
  if entry.what == "stream" and (m.taken ~= 0 or m.wanted ~= 0) then
    note(facts, "rule", "FR-26: taken and wanted of a stream must be 0")
  end
end

function TRACK.CLOSE(self, side, number, m, facts)
  local entry = self:entry(m, side, "channel", facts)
  if not entry then
    return
  end
  self:speaks(entry, side, number, m, "s", facts)
  if entry.message and m.code == 0 and not entry.over[(3 - side) .. "r"] then
    note(facts, "rule", "FR-25: the message of packet " .. entry.message.begun .. " is not complete")
  end
  entry.message = nil
end

function TRACK.CANCEL(self, side, number, m, facts)
  local entry = self:entry(m, side, "channel", facts)
  if entry then
    self:speaks(entry, side, number, m, "r", facts)
  end
end

local function of_stream(half)
  return function(self, side, number, m, facts)
    local entry = self:entry(m, side, "stream", facts)
    if entry then
      self:speaks(entry, side, number, m, half, facts)
    end
  end
end
TRACK.DATA, TRACK.END, TRACK.STOP = of_stream("s"), of_stream("s"), of_stream("r")

function TRACK.PING(self, side, number, m)
  self.pings[side][m.ping] = number
end

function TRACK.PONG(self, side, number, m, facts)
  facts.ping = self.pings[3 - side][m.ping]
  self.pings[3 - side][m.ping] = nil
end

function TRACK.GOODBYE(self, side, number)
  self.goodbye[side] = number
end

-- What the session makes of a decoded frame, to be asked once for each, in the order of the capture. Fragments of messages
-- of up to `keep` bytes are put together.
function Session:track(side, number, m, keep)
  local facts = { notes = {} }
  if self.goodbye[side] then
    note(facts, "note", "SE-14: not read, a frame after the GOODBYE of packet " .. self.goodbye[side])
  end
  if self.preface[side] and not self.spoken[side] and m.type ~= "HELLO" and not (m.type == "GOODBYE" and m.code ~= 0) then
    note(facts, "rule", "SE-02: the first frame is no HELLO, and no GOODBYE with a code")
  end
  self.spoken[side] = true
  if TRACK[m.type] and not m.malformed then
    TRACK[m.type](self, side, number, m, facts, keep)
  end
  return facts
end

return { new = new }
