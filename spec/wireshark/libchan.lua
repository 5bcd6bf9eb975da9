-- The libchan wire (spec/2-frames.md) in Wireshark and tshark: over tcp, tls, WebSocket and HTTP/2. How to install it, its
-- fields and what it does not see: README.md beside this file. Its modules stand beside it too: libchan_frames.lua decodes,
-- libchan_session.lua remembers, libchan_payloads.lua hands over, libchan_registry.lua has the numbers.

local registry = require("libchan_registry")
local frames = require("libchan_frames")
local session = require("libchan_session")
local payloads = require("libchan_payloads")
local F, E = frames.fields, frames.experts

local libchan = Proto("libchan", "libchan channels")
libchan.fields = F
libchan.experts = E
libchan.prefs.ports = Pref.range("TCP ports", "", "Streams that are libchan whatever their first bytes", 65535)
libchan.prefs.payloads = Pref.bool("Dissect payloads", true, "Hand msgpack, JSON and other payloads to their dissectors")
libchan.prefs.joined = Pref.uint("Largest message that is put together", 1048576,
  "In bytes; the fragments of larger ones are only counted")

local http2_stream = Field.new("http2.streamid")

local HEADER = 8
local PREFACE = registry.PREFACE:gsub("..", function(hex) return string.char(tonumber(hex, 16)) end)
-- So many bytes of the preface are enough to take a stream for libchan if no more are there.
local RECOGNISED = 4

----- Connections

-- Packets are dissected once in the order of the capture, and again whenever they are shown. The first time a session is
-- asked, and `memo` keeps what it said, by the packet and what is counted within it; later times have that alone. Fields of
-- other protocols are not there in each of these times, so connections are told apart by their addresses and prefaces.
local connections = {}

function libchan.init()
  connections = {}
end

-- The connection of this packet, and the side that has sent it.
local function connection(pinfo)
  local from = tostring(pinfo.src) .. " " .. pinfo.src_port
  local to = tostring(pinfo.dst) .. " " .. pinfo.dst_port
  local key = from < to and from .. " " .. to or to .. " " .. from
  local conn = connections[key]
  if not conn then
    conn = { first = from, memo = {}, parts = {} }
    connections[key] = conn
  end
  return conn, from == conn.first and 1 or 2
end

local function new_part()
  return { session = session.new(), left = {}, lost = {} }
end

-- How many of these there were in this dissection of the packet.
local function counted(pinfo, what)
  return tonumber(pinfo.private["libchan " .. what] or "") or 0
end

local function count(pinfo, what)
  local at = counted(pinfo, what) + 1
  pinfo.private["libchan " .. what] = tostring(at)
  return at
end

----- Frames

-- These functions have a `here`: what a call of the dissector is about.
--   pinfo, side, memo   the packet, who has sent it, what its connection remembers
--   part                the session and what waits; of an HTTP/2 connection, that of one stream
--   tvb                 the bytes
--   root                a function that gives the protocol's place in the tree
--   later               what is to be done when all frames are
--   lost                whether the frames of this side cannot be told apart any more

-- Adds to Info and keeps it from those who are called later.
local function tell(here, info)
  local cols = here.pinfo.cols
  if count(here.pinfo, "info") > 1 then
    info = ", " .. info
  end
  cols.protocol:set("libchan")
  cols.info:clear()
  cols.info:append(info)
  cols.info:fence()
end

local function header(m, tvb, at, tree)
  tree:add(F.length, tvb:range(at, 3))
  local kind = tvb:range(at + 3, 1)
  local item = tree:add(F.type, kind)
  tree:add(F.id, tvb:range(at + 4, 4))
  local number = kind:uint()
  m.id = tvb:range(at + 4, 4):uint()
  m.type = registry.TYPES[number] or string.format("type %02x", number)
  m.ignorable = number >= registry.IGNORABLE
  if not registry.TYPES[number] then
    item:append_text(m.ignorable and ", unknown, ignorable" or ", unknown, not ignorable")
  end
end

-- What the session has found out about a frame.
local function show(facts, tree)
  local function add(field, value)
    if value ~= nil then
      tree:add(field, value):set_generated()
    end
  end
  add(F.channel, facts.channel)
  add(F.stream, facts.stream)
  add(F.announced_in, facts.announced)
  add(F.begun_in, facts.begun)
  add(F.fragment, facts.index)
  add(F.sum, facts.sum)
  add(F.of, facts.total)
  add(F.ping_in, facts.ping)
  for _, one in ipairs(facts.notes) do
    tree:add_proto_expert_info(E[one[1]], one[2])
  end
end

-- Hands a payload to the dissector of its codec, if there is one, and hides what that makes of the columns. Not before all
-- frames of these bytes are done: a dissector that fails badly takes the rest of the packet with it.
local function hand_over(here, tvb, codec, tree)
  local dissector = libchan.prefs.payloads and payloads.dissector(registry.CODECS[codec], tvb:raw())
  if dissector then
    here.later[#here.later + 1] = function()
      pcall(dissector.call, dissector, tvb, here.pinfo, tree)
      here.pinfo.cols.protocol:set("libchan")
      here.pinfo.cols.info:clear()
    end
  end
end

local function payload(here, m, facts, range, tree)
  if range and (m.flags.NOT_ENCODED or m.flags.NOT_FORWARDED) then
    tree:add_packet_field(F.flaw, range, ENC_UTF_8)
  elseif range then
    tree:add(F.payload, range)
    if m.type == "MESSAGE" and not m.flags.MORE then
      hand_over(here, range:tvb(), m.codec, tree)
    end
  end
  if facts.parts then
    local whole = ByteArray.new()
    for _, part in ipairs(facts.parts) do
      whole:append(part)
    end
    local tvb = whole:tvb("libchan message")
    local item = tree:add(tvb(), string.format("Message of %d bytes, put together", tvb:len()))
    hand_over(here, tvb, facts.codec, item)
  end
end

-- A frame that is all there; its facts are kept under `key`.
local function frame(here, at, length, key)
  local tree = here.root():add(here.tvb:range(at, HEADER + length), "Frame")
  local m = {}
  header(m, here.tvb, at, tree)
  local range = frames.decode(m, here.tvb, at + HEADER, length, tree)
  local facts = here.memo[key]
  if not facts then
    m.payload = range and range:bytes() or ByteArray.new()
    facts = here.part.session:track(here.side, here.pinfo.number, m, libchan.prefs.joined)
    here.memo[key] = facts
  end
  show(facts, tree)
  if m.payload_length then
    payload(here, m, facts, range, tree)
  end
  local info = m.type .. (m.id > 0 and " " .. m.id or "") .. m.info
  if facts.begun then
    info = info .. string.format(", %d of %d B", facts.sum, facts.total)
  end
  local name = facts.channel or facts.stream
  tree:set_text(info .. (name and m.type ~= "OPEN" and ", " .. name or ""))
  tell(here, info .. (m.malformed and " [malformed]" or ""))
end

----- The stream of bytes

local function lose(here)
  here.lost = true
  here.part.lost[here.side] = true
end

local function preface(here, at, key)
  here.lost = nil
  if not here.memo[key] then
    here.memo[key] = {}
    if here.part.session.preface[here.side] then
      -- A new connection at the ports of an earlier one.
      here.part = new_part()
      here.conn.parts[here.stream] = here.part
    end
    here.part.session.preface[here.side] = true
  end
  local tree = here.root():add(here.tvb:range(at, HEADER), "Preface")
  tree:add(F.preface, here.tvb:range(at, HEADER))
  tree:add(F.version, here.tvb:range(at + 7, 1))
  if here.tvb:range(at + 7, 1):uint() ~= PREFACE:byte(8) then
    tree:add_proto_expert_info(E.malformed, "FR-01: another version of the protocol")
    lose(here)
  end
  tell(here, "preface")
end

local function undecoded(here, at, tree)
  tree:add(F.undecoded, here.tvb:range(at))
  tell(here, here.tvb:len() - at .. " B, not decoded")
end

local function too_long(here, at)
  local tree = here.root():add(here.tvb:range(at), "Frame that is too long")
  header({}, here.tvb, at, tree)
  tree:add_proto_expert_info(E.malformed, "FR-02: longer than max_frame, or no frame at all")
  undecoded(here, at, tree)
  lose(here)
end

-- Takes one frame or the preface: how many bytes it was, or nil and how many are missing. What is all there is counted.
local function take(here, at)
  local tvb, left = here.tvb, here.tvb:len() - at
  local is_preface = left >= HEADER and tvb:range(at, 7):raw() == PREFACE:sub(1, 7)
  if here.lost and not (is_preface and at == 0) then
    undecoded(here, at, here.root())
    return left
  end
  if left < HEADER then
    return nil, HEADER - left
  end
  local key = here.pinfo.number .. " " .. counted(here.pinfo, "element") + 1
  if is_preface then
    count(here.pinfo, "element")
    preface(here, at, key)
    return HEADER
  end
  local length = tvb:range(at, 3):uint()
  local facts = here.memo[key]
  local known = registry.TYPES[tvb:range(at + 3, 1):uint()]
  if facts and facts.too_long or not facts and length > here.part.session:longest(known) then
    here.memo[key] = { too_long = true }
    count(here.pinfo, "element")
    too_long(here, at)
    return left
  end
  if left < HEADER + length then
    return nil, HEADER + length - left
  end
  count(here.pinfo, "element")
  frame(here, at, length, key)
  return HEADER + length
end

-- Puts what was left of the last call in front of the bytes, where the carrier does not. Gives what must be called with
-- what is left of this one.
local function with_rest(here)
  local part, side = here.part, here.side
  local key = "call " .. here.pinfo.number .. " " .. count(here.pinfo, "call")
  local memo = here.memo[key]
  local is_new = not memo
  if is_new then
    memo = { left = part.left[side], lost = part.lost[side] }
    here.memo[key], part.left[side] = memo, nil
  end
  here.lost = memo.lost
  if memo.left then
    local whole = ByteArray.new()
    whole:append(memo.left)
    whole:append(here.tvb:range():bytes())
    here.tvb = whole:tvb("libchan stream")
  end
  return function(at)
    if is_new then
      here.part.left[side] = here.tvb:range(at):bytes()
    end
  end
end

-- Takes what there is; the beginning of a frame waits for the rest.
local function take_all(here, is_cut, asks)
  local keep = with_rest(here)
  local at = 0
  while at < here.tvb:len() do
    local used, missing = take(here, at)
    if used then
      at = at + used
    elseif is_cut then
      here.root():add_proto_expert_info(E.note, "The capture does not have the whole packet")
      lose(here)
    elseif asks then
      here.pinfo.desegment_offset, here.pinfo.desegment_len = at, missing
      return
    else
      here.root():add(F.undecoded, here.tvb:range(at)):append_text(" (goes on in a later packet)")
      keep(at)
      return
    end
  end
end

local function dissect(tvb, pinfo, tree, asks, stream)
  if tvb:len() == 0 then
    return 0
  end
  local conn, side = connection(pinfo)
  conn.parts[stream] = conn.parts[stream] or new_part()
  local here = { tvb = tvb, pinfo = pinfo, side = side, conn = conn, memo = conn.memo, stream = stream,
    part = conn.parts[stream], later = {} }
  local item
  function here.root()
    item = item or tree:add(libchan, here.tvb())
    return item
  end
  take_all(here, tvb:len() < tvb:reported_len(), asks)
  for _, call in ipairs(here.later) do
    call()
  end
  return tvb:len()
end

-- WebSocket puts nothing together for us, and says so.
function libchan.dissector(tvb, pinfo, tree)
  return dissect(tvb, pinfo, tree, pinfo.can_desegment > 0, "")
end

-- HTTP/2 offers to put together, and then fails when several DATA frames end in one packet. Its streams can be told apart
-- when the tree is there at the first time, which Wireshark does not promise.
local over_http2 = Proto("libchan_http2", "libchan channels in an HTTP/2 stream")
function over_http2.dissector(tvb, pinfo, tree)
  local inner = { http2_stream() }
  return dissect(tvb, pinfo, tree, false, #inner > 0 and tostring(inner[#inner].value) or "")
end

----- Where it is called

local function begins(tvb)
  local length = math.min(tvb:len(), HEADER)
  return length >= RECOGNISED and tvb:range(0, length):raw() == PREFACE:sub(1, length)
end

libchan:register_heuristic("tcp", function(tvb, pinfo, tree)
  if not begins(tvb) then
    return false
  end
  pinfo.conversation = libchan
  libchan.dissector(tvb, pinfo, tree)
  return true
end)

-- The conversation stays that of TLS, which asks again for each record.
libchan:register_heuristic("tls", function(tvb, pinfo, tree)
  local conn = connection(pinfo)
  if not conn.in_tls and not begins(tvb) then
    return false
  end
  conn.in_tls = true
  libchan.dissector(tvb, pinfo, tree)
  return true
end)

for _, name in ipairs({ "tcp.port", "tls.port" }) do
  DissectorTable.get(name):add_for_decode_as(libchan)
end
for name, key in pairs({ ["tls.alpn"] = "libchan/1", ["ws.protocol"] = "libchan.v1" }) do
  DissectorTable.get(name):add(key, libchan)
end
for _, content_type in ipairs({ "application/vnd.libchan.v1", "application/grpc+libchan" }) do
  DissectorTable.get("streaming_content_type"):add(content_type, over_http2)
end

local ports = ""
function libchan.prefs_changed()
  local by_port = DissectorTable.get("tcp.port")
  if ports ~= libchan.prefs.ports then
    if ports ~= "" then
      by_port:remove(ports, libchan)
    end
    ports = libchan.prefs.ports
    if ports ~= "" then
      by_port:add(ports, libchan)
    end
  end
end
