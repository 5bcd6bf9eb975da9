-- The frames of the libchan wire, body by body (spec/2-frames.md): the fields, and a decoder that adds them to the tree and
-- gives what the session has to know. A module of libchan.lua; loaded by itself it does nothing.

local registry = require("libchan_registry")
local FLAGS, CODECS, CODES, HELLO = registry.FLAGS, registry.CODECS, registry.CODES, registry.HELLO
local HEADERS = registry.HEADERS
local APPLICATION = registry.APPLICATION

-- What Info calls the attachment kinds: what the receiver of the message gets.
local SHORT = { "sender", "receiver", "stream", "descriptor", "sender home", "receiver home" }
local MAX_TEXT = 1024
-- How many bytes of a name or text, and how many attachments, Info shows.
local MAX_SHOWN, MAX_CARRIED = 64, 8

local SCOPES = { [0] = "this end", [1] = "the channel" }

local F = {
  preface = ProtoField.bytes("libchan.preface", "Preface"),
  version = ProtoField.uint8("libchan.version", "Version"),
  length = ProtoField.uint24("libchan.length", "Length"),
  type = ProtoField.uint8("libchan.type", "Type", base.HEX, registry.TYPES),
  id = ProtoField.uint32("libchan.id", "Id"),
  body = ProtoField.bytes("libchan.body", "Body"),
  undecoded = ProtoField.bytes("libchan.undecoded", "Not decoded"),
  tag = ProtoField.uint8("libchan.hello.tag", "Tag"),
  field_length = ProtoField.uint16("libchan.hello.length", "Length"),
  field_value = ProtoField.bytes("libchan.hello.value", "Value"),
  hello_codec = ProtoField.uint8("libchan.hello.codec", "Codec", base.DEC, CODECS),
  key = ProtoField.string("libchan.metadata.key", "Key"),
  key_length = ProtoField.uint8("libchan.metadata.key_length", "Key length"),
  value = ProtoField.string("libchan.metadata.value", "Value"),
  value_bytes = ProtoField.bytes("libchan.metadata.bytes", "Value"),
  value_length = ProtoField.uint16("libchan.metadata.value_length", "Value length"),
  capacity = ProtoField.uint32("libchan.capacity", "Capacity"),
  name = ProtoField.string("libchan.name", "Name"),
  name_length = ProtoField.uint16("libchan.name_length", "Name length"),
  flags = ProtoField.uint8("libchan.flags", "Flags", base.HEX),
  codec = ProtoField.uint8("libchan.codec", "Codec", base.DEC, CODECS),
  attachments = ProtoField.uint8("libchan.attachments", "Attachments"),
  kind = ProtoField.uint8("libchan.attachment.kind", "The receiver gets", base.DEC, registry.KINDS),
  attachment_id = ProtoField.uint32("libchan.attachment.id", "Id"),
  attachment_capacity = ProtoField.uint32("libchan.attachment.capacity", "Capacity"),
  attachment_wanted = ProtoField.uint32("libchan.attachment.wanted", "Wanted"),
  headers = ProtoField.uint8("libchan.headers", "Length of the headers"),
  header_tag = ProtoField.uint8("libchan.header.tag", "Tag"),
  header_length = ProtoField.uint8("libchan.header.length", "Length"),
  header_value = ProtoField.bytes("libchan.header.value", "Value"),
  trace = ProtoField.string("libchan.header.trace", "Trace"),
  deadline = ProtoField.uint64("libchan.header.deadline", "Milliseconds left"),
  total = ProtoField.uint32("libchan.total", "Total"),
  payload = ProtoField.bytes("libchan.payload", "Payload"),
  payload_length = ProtoField.uint32("libchan.payload_length", "Payload length"),
  flaw = ProtoField.string("libchan.flaw", "In the place of a message"),
  taken = ProtoField.uint32("libchan.taken", "Taken"),
  wanted = ProtoField.uint32("libchan.wanted", "Wanted"),
  bytes = ProtoField.uint32("libchan.bytes", "Bytes"),
  descriptors = ProtoField.uint32("libchan.descriptors", "Descriptors given back"),
  scope = ProtoField.uint8("libchan.scope", "Scope", base.DEC, SCOPES),
  code = ProtoField.uint16("libchan.code", "Code", base.DEC, CODES),
  text = ProtoField.string("libchan.text", "Text"),
  data = ProtoField.bytes("libchan.data", "Data"),
  ping = ProtoField.bytes("libchan.ping", "Ping"),
  -- What no frame says by itself.
  channel = ProtoField.string("libchan.channel", "Channel"),
  stream = ProtoField.string("libchan.stream", "Stream"),
  announced_in = ProtoField.framenum("libchan.announced_in", "Announced in", base.NONE, frametype.NONE),
  begun_in = ProtoField.framenum("libchan.begun_in", "Message begun in", base.NONE, frametype.NONE),
  fragment = ProtoField.uint32("libchan.fragment", "Fragment"),
  sum = ProtoField.uint32("libchan.sum", "Bytes so far"),
  of = ProtoField.uint32("libchan.of", "Bytes in all"),
  ping_in = ProtoField.framenum("libchan.ping_in", "Answers the PING in", base.NONE, frametype.REQUEST),
}
for flag, name in pairs(FLAGS) do
  F[name] = ProtoField.bool("libchan.flags." .. name:lower(), name, 8, nil, flag)
end
for tag, name in pairs(HELLO) do
  if registry.NUMBERS[tag] then
    F["hello." .. name] = ProtoField.uint32("libchan.hello." .. name, name)
  end
end

local MALFORMED, PROTOCOL = expert.group.MALFORMED, expert.group.PROTOCOL
local E = {
  malformed = ProtoExpert.new("libchan.malformed", "Malformed frame", MALFORMED, expert.severity.ERROR),
  rule = ProtoExpert.new("libchan.rule", "Broken rule", PROTOCOL, expert.severity.WARN),
  note = ProtoExpert.new("libchan.note", "Unusual", PROTOCOL, expert.severity.NOTE),
  fault = ProtoExpert.new("libchan.fault", "Fault of the dissector", MALFORMED, expert.severity.ERROR),
}


-- Whether these bytes are UTF-8, without surrogates and overlong forms.
local function is_utf8(s)
  local at = 1
  while at <= #s do
    local first, more, low, high = s:byte(at), 0, 0x80, 0xbf
    if first >= 0xc2 and first <= 0xdf then more = 1
    elseif first >= 0xe0 and first <= 0xef then more = 2
    elseif first >= 0xf0 and first <= 0xf4 then more = 3
    elseif first >= 0x80 then return false end
    if first == 0xe0 then low = 0xa0 elseif first == 0xed then high = 0x9f
    elseif first == 0xf0 then low = 0x90 elseif first == 0xf4 then high = 0x8f end
    for k = 1, more do
      local byte = s:byte(at + k)
      if not byte or byte < low or byte > high then return false end
      low, high = 0x80, 0xbf
    end
    at = at + 1 + more
  end
  return true
end

-- The same as something that can stand in a column and in a generated field.
local function printable(s)
  if not is_utf8(s) then
    s = s:gsub("[\128-\255]", "?")
  end
  s = s:gsub("%c", ".")
  if #s <= MAX_SHOWN then
    return s
  end
  -- Not inside a character.
  return s:sub(1, MAX_SHOWN):gsub("[\128-\255]+$", "") .. "..."
end

local function code_name(code)
  if code >= APPLICATION then
    return "APPLICATION " .. (code - APPLICATION)
  end
  return CODES[code] or tostring(code)
end

----- A cursor over a frame's body: every step takes bytes and adds them to the tree. It stops at the body's end by an error
-- that is a table, which `decode` catches.
local Body = {}
Body.__index = Body

function Body:left()
  return self.to - self.at
end

function Body:wrong(text)
  self.item:add_proto_expert_info(E.malformed, text)
  self.malformed = true
end

function Body:range(count, what)
  if self:left() < count then
    error({ "FR-05: the body ends inside " .. what })
  end
  local range = count > 0 and self.tvb:range(self.at, count) or nil
  self.at = self.at + count
  return range
end

function Body:number(count, field)
  local range = self:range(count, field)
  self.last = self.tree:add(F[field], range)
  return range:uint()
end

-- Bytes as a string; a text must be UTF-8.
function Body:string(count, field, is_text)
  local range = self:range(count, field)
  local bytes = range and range:raw() or ""
  if is_text and not is_utf8(bytes) then
    self:wrong("FR-06: " .. field .. " is not UTF-8")
  end
  if range and is_text then
    self.tree:add_packet_field(F[field], range, ENC_UTF_8)
  elseif range then
    self.tree:add(F[field], range)
  end
  return bytes
end

-- Entries of metadata up to `to`.
function Body:metadata(to)
  local tree, end_of_body = self.tree, self.to
  self.to = to
  while self:left() > 0 do
    local from = self.at
    self.tree = tree:add(self.tvb:range(from, self:left()), "Metadata")
    local item = self.tree
    local key = self:string(self:number(1, "key_length"), "key", true)
    local count = self:number(2, "value_length")
    local is_text = count <= self:left() and (count == 0 or is_utf8(self.tvb:range(self.at, count):raw()))
    local value = self:string(count, is_text and "value" or "value_bytes", is_text)
    item:set_len(self.at - from)
    item:append_text(": " .. printable(key) .. (is_text and " = " .. printable(value) or ": bytes"))
  end
  self.tree, self.to = tree, end_of_body
end

-- A code and the text to the body's end.
function Body:reason(m)
  m.code = self:number(2, "code")
  if m.code >= APPLICATION then
    self.last:set_text(string.format("Code: %s (%d)", code_name(m.code), m.code))
  end
  if self:left() > MAX_TEXT then
    self:wrong("FR-07: a text of more than 1,024 bytes")
  end
  m.text = self:string(self:left(), "text", true)
  if m.type == "CLOSE" and m.code == 0 and m.text ~= "" then
    self:wrong("FR-30: a clean CLOSE with a text")
  end
  m.info = (m.code ~= 0 and " " .. code_name(m.code) or "")
    .. (m.text ~= "" and ' "' .. printable(m.text) .. '"' or "")
end

function Body:scope(m)
  m.scope = self:number(1, "scope")
  if not SCOPES[m.scope] then
    self:wrong("FR-29: the scope is neither 0 nor 1")
  end
end

function Body:payload(m)
  m.payload_at, m.payload_length = self.at, self:left()
  self.tree:add(F.payload_length, m.payload_length):set_generated()
  self.payload_range = self:range(self:left(), "payload")
end

function Body:hello_field(m, tag, count)
  local name = HELLO[tag]
  if registry.NUMBERS[tag] then
    if count ~= 4 then
      error({ "FR-05: " .. name .. " is not four bytes long" })
    end
    m.hello[name] = self:number(4, "hello." .. name)
  elseif name == "codecs" then
    for _ = 1, count do
      local codec = self:number(1, "hello_codec")
      m.codecs[#m.codecs + 1] = CODECS[codec] or tostring(codec)
    end
  elseif name == "metadata" then
    self:metadata(self.at + count)
  else
    self:string(count, "field_value")
  end
end

local DECODE = {}

function DECODE.HELLO(self, m)
  m.hello, m.codecs = {}, {}
  local before, seen, tree = 0, {}, self.tree
  while self:left() > 0 do
    local field = tree:add(self.tvb:range(self.at, self:left()), "Field")
    local from = self.at
    self.tree = field
    local tag = self:number(1, "tag")
    local count = self:number(2, "field_length")
    if tag <= before then
      self:wrong("FR-11: the tags are not strictly ascending from 1")
    end
    before, seen[tag] = math.max(before, tag), true
    field:set_text("Field " .. tag .. ": " .. (HELLO[tag] or "unknown, skipped"))
    if count > self:left() then
      error({ "FR-05: field " .. tag .. " is longer than what is left of the body" })
    end
    field:set_len(3 + count)
    self:hello_field(m, tag, count)
    self.at = from + 3 + count
  end
  self.tree = tree
  for tag, name in ipairs(HELLO) do
    if not seen[tag] then
      self:wrong("FR-12: " .. name .. " is missing")
    end
  end
  m.info = " " .. table.concat(m.codecs, ",")
end

function DECODE.OPEN(self, m)
  m.capacity = self:number(4, "capacity")
  m.name = self:string(self:number(2, "name_length"), "name", true)
  self:metadata(self.to)
  m.shown = printable(m.name)
  self:bounded("capacity", m.capacity)
  m.info = string.format(' "%s" capacity %d', m.shown, m.capacity)
end

-- Counters are compared as signed numbers.
function Body:bounded(what, number)
  if number > 0x7fffffff then
    self:wrong("LI-06: " .. what .. " is above 2,147,483,647")
  end
end

-- The block of headers, whose fields fill it exactly.
function Body:headers()
  local count, tree, body = self:number(1, "headers"), self.tree, self.to
  if count == 0 then
    self:wrong("FR-34: a block of headers of no byte")
  elseif count > self:left() then
    error({ "FR-05: the headers are longer than what is left of the body" })
  end
  local to = self.at + count
  while self.at < to do
    local item = tree:add(self.tvb:range(self.at, to - self.at), "Header")
    self.tree = item
    local tag, length = self:number(1, "header_tag"), to > self.at and self:number(1, "header_length")
    if not length or self.at + length > to then
      error({ "FR-34: header " .. tag .. " is longer than its block" })
    end
    item:set_text("Header " .. tag .. ": " .. (HEADERS[tag] or "unknown, skipped"))
    item:set_len(2 + length)
    if HEADERS[tag] == "deadline" and length == 8 then
      self.tree:add(F.deadline, self:range(length, "deadline"))
    else
      self:string(length, HEADERS[tag] == "trace" and "trace" or "header_value", HEADERS[tag] == "trace")
    end
  end
  self.tree, self.to = tree, body
end

-- One entry of the table, checked as far as it stands for itself.
function Body:attachment(m)
  local tree, from = self.tree, self.at
  local item = tree:add(self.tvb:range(from, math.min(13, self:left())), "Attachment " .. #m.attachments)
  self.tree = item
  local one = { kind = self:number(1, "kind"), id = self:number(4, "attachment_id") }
  one.capacity, one.wanted = self:number(4, "attachment_capacity"), self:number(4, "attachment_wanted")
  self.tree = tree
  m.attachments[#m.attachments + 1] = one
  local short = SHORT[one.kind] or "kind " .. one.kind
  item:append_text(": " .. short .. (one.kind == 4 and "" or " → " .. one.id))
  if #m.carries <= MAX_CARRIED then
    m.carries[#m.carries + 1] = #m.carries == MAX_CARRIED and "..." or short .. (one.kind == 4 and "" or "→" .. one.id)
  end
  if one.kind == 6 then
    self:wrong("AT-02: kind 6 is reserved")
  elseif not SHORT[one.kind] then
    self:wrong("AT-01: no kind " .. one.kind)
  elseif one.kind >= 3 and (one.capacity ~= 0 or one.wanted ~= 0) or one.kind == 4 and one.id ~= 0 then
    self:wrong("AT-05: what must be 0 is not")
  elseif one.kind == 2 and (one.wanted > 1 or one.wanted == 0 and one.capacity == 0) then
    self:wrong("AT-06: wanted of kind 2 is 0 or 1, and 1 with capacity 0")
  elseif one.kind == 1 and one.wanted ~= 0 and one.capacity ~= 0 then
    self:wrong("AT-06: wanted of kind 1 is 0 where there is a capacity")
  end
  self:bounded("capacity", one.capacity)
  self:bounded("wanted", one.wanted)
end

-- The flags that are set, by name; `unknown` is one if there is any that may not be.
function Body:flags(known)
  local rest, item = self:number(1, "flags"), self.last
  local set, names = {}, {}
  for bit = 7, 0, -1 do
    local flag = 2 ^ bit
    local name = FLAGS[flag] and known[FLAGS[flag]] and FLAGS[flag]
    if name then
      item:add(F[name], self.tvb:range(self.at - 1, 1))
    end
    if rest >= flag then
      rest = rest - flag
      set[name or "unknown"] = true
      if name then
        table.insert(names, 1, name)
      end
    end
  end
  item:append_text(#names > 0 and " (" .. table.concat(names, ", ") .. ")" or "")
  return set
end

local MESSAGE_FLAGS = {}
for _, name in pairs(FLAGS) do
  MESSAGE_FLAGS[name] = true
end

function DECODE.MESSAGE(self, m)
  m.flags, m.attachments, m.carries = self:flags(MESSAGE_FLAGS), {}, {}
  if m.flags.unknown then
    self:wrong("FR-15: the flags 20, 40 and 80 must be 0")
  end
  if m.flags.NOT_ENCODED and m.flags.NOT_FORWARDED then
    self:wrong("FR-16: NOT_ENCODED and NOT_FORWARDED")
  end
  m.codec = self:number(1, "codec")
  if m.flags.ATTACHMENTS then
    m.count = self:number(1, "attachments")
    if m.count == 0 then
      self:wrong("FR-18: a table of none")
    end
    for _ = 1, m.count do
      self:attachment(m)
    end
  end
  if m.flags.HEADERS then
    self:headers()
  end
  m.total = m.flags.MORE and self:number(4, "total") or nil
  self:payload(m)
  local flaw = m.flags.NOT_ENCODED and "NOT_ENCODED" or m.flags.NOT_FORWARDED and "NOT_FORWARDED"
  m.info = string.format(" %s %d B%s%s", flaw or CODECS[m.codec] or "codec " .. m.codec, m.payload_length, m.total and " of " .. m.total or "",
    #m.carries > 0 and " +" .. #m.attachments .. " " .. table.concat(m.carries, ",") or "")
end

function DECODE.FRAGMENT(self, m)
  m.flags = self:flags({ MORE = true })
  if m.flags.unknown then
    self:wrong("FR-22: a flag other than MORE")
  end
  self:payload(m)
  if m.payload_length == 0 then
    self:wrong("FR-21: a FRAGMENT without payload")
  end
  m.info = string.format(" %d B", m.payload_length)
end

function DECODE.CREDIT(self, m)
  m.taken = self:number(4, m.id == 0 and "descriptors" or "taken")
  m.wanted, m.bytes = self:number(4, "wanted"), self:number(4, "bytes")
  if m.id == 0 and (m.wanted ~= 0 or m.bytes ~= 0) then
    self:wrong("FR-27: wanted and bytes of id 0 must be 0")
  end
  m.info = (m.taken > 0 and (m.id == 0 and " descriptors " or " taken ") .. m.taken or "")
    .. (m.wanted > 0 and " wanted " .. m.wanted or "") .. (m.bytes > 0 and " bytes " .. m.bytes or "")
end

function DECODE.CLOSE(self, m)
  self:scope(m)
  self:reason(m)
  m.info = (m.scope == 1 and " the channel" or "") .. m.info
end

function DECODE.CANCEL(self, m)
  self:scope(m)
  m.taken = self:number(4, "taken")
  self:reason(m)
  m.info = (m.scope == 1 and " the channel" or "") .. (m.taken > 0 and " taken " .. m.taken or "") .. m.info
end

function DECODE.DATA(self, m)
  if self:left() == 0 then
    self:wrong("FR-31: a DATA without bytes")
  end
  m.info = string.format(" %d B", self:left())
  self:string(self:left(), "data")
end

DECODE.END, DECODE.STOP, DECODE.GOODBYE = Body.reason, Body.reason, Body.reason

function DECODE.PING(self, m)
  m.ping = self:string(8, "ping")
end
DECODE.PONG = DECODE.PING

-- Decodes the body of `length` bytes at `at` into `m`, which has id and type already. Gives the range of the payload.
local function decode(m, tvb, at, length, item)
  local body = setmetatable({ tvb = tvb, at = at, to = at + length, tree = item, item = item }, Body)
  local known = DECODE[m.type]
  if not known then
    if length > 0 then
      item:add(F.body, tvb:range(at, length))
    end
    m.info = string.format(" %d B, %s", length, m.ignorable and "ignorable" or "not ignorable")
    if not m.ignorable then
      body:wrong("FR-04: an unknown type that may not be skipped")
    end
    m.malformed = body.malformed
    return nil
  end
  if (m.type == "HELLO" or m.type == "PING" or m.type == "PONG" or m.type == "GOODBYE") and m.id ~= 0 then
    body:wrong("FR-08: the id must be 0")
  end
  local done, failure = pcall(known, body, m)
  if not done and type(failure) == "table" then
    body:wrong(failure[1])
  elseif not done then
    item:add_proto_expert_info(E.fault, tostring(failure))
    body.malformed = true
  elseif body:left() > 0 then
    body:wrong("FR-05: bytes behind the last field")
  end
  m.malformed, m.info = body.malformed, m.info or ""
  return body.payload_range
end

return { fields = F, experts = E, decode = decode, printable = printable }
