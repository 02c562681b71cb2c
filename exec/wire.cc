// exec/wire.cc: protobuf's varints and lengths
#include "exec/wire.h"

#include <algorithm>

#include "common/base/utf8.h"

namespace muster::exec {
namespace {

constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;  // wire types
constexpr int kVarintBytesMax = 10;
constexpr unsigned kTypeBits = 3;

// Takes the fields of a message one by one; what is not well-formed makes it bad, and then empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  // The next field; false: there is none.
  bool next() {
    if (left_.empty() || bad_) return false;
    const std::uint64_t tag = varint();
    field_ = tag >> kTypeBits;
    type_ = static_cast<int>(tag & ((1U << kTypeBits) - 1));
    value_ = 0;
    text_ = {};
    switch (type_) {
      case kVarint: value_ = varint(); break;
      case kFixed64: take(8); break;
      case kFixed32: take(4); break;
      case kBytes: text_ = take(varint()); break;
      default: bad_ = true;
    }
    bad_ = bad_ || field_ == 0;
    return !bad_;
  }
  [[nodiscard]] std::uint64_t field() const { return field_; }
  [[nodiscard]] bool bad() const { return bad_; }

  // Of the present field, where it is of that type; another type is as if the field were unknown.
  void get(std::int64_t& value) const {
    if (type_ == kVarint) value = static_cast<std::int64_t>(value_);
  }
  void get(bool& value) const {
    if (type_ == kVarint) value = value_ != 0;
  }
  void get(std::string& value) const {
    if (type_ == kBytes) value = text_;
  }
  [[nodiscard]] std::optional<std::string_view> message() const {
    return type_ == kBytes ? std::optional(text_) : std::nullopt;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int i = 0; i < kVarintBytesMax; ++i) {
      if (left_.empty()) break;
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << (7 * i);
      if (byte < 0x80) return value;
    }
    bad_ = true;
    return 0;
  }
  std::string_view take(std::uint64_t size) {
    if (bad_ || size > left_.size()) {
      bad_ = true;
      return {};
    }
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  std::string_view left_, text_;
  std::uint64_t field_ = 0, value_ = 0;
  int type_ = 0;
  bool bad_ = false;
};

Error malformed(const char* what) { return invalid_argument(std::string(what) + " is no protobuf message"); }

Status read_variable(std::string_view bytes, Environment& into) {
  Reader reader(bytes);
  std::string name, value;
  while (reader.next()) {
    if (reader.field() == 1) reader.get(name);
    if (reader.field() == 2) reader.get(value);
  }
  if (reader.bad()) return malformed("a variable");
  if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos ||
      value.find('\0') != std::string::npos)
    return invalid_argument("a variable of the environment has a name or a value that none can have");
  into.emplace_back(std::move(name), std::move(value));
  return {};
}

Status read_orders(std::string_view bytes, Assignment& into) {
  Reader reader(bytes);
  into.for_exec = true;
  while (reader.next()) {
    if (reader.field() == 1) reader.get(into.start);
    if (const auto inner = reader.message(); reader.field() == 2 && inner)
      MUSTER_TRY(read_variable(*inner, into.environment));
  }
  return reader.bad() ? Status(malformed("the assignment to muster-exec")) : Status();
}

class Writer {
 public:
  void number(unsigned field, std::int64_t value) {
    if (value == 0) return;  // proto3: the default is not sent
    tag(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
  }
  void text(unsigned field, std::string_view value) {
    if (!value.empty()) message(field, value);
  }
  void message(unsigned field, std::string_view value) {
    tag(field, kBytes);
    varint(value.size());
    out_.append(value);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void tag(unsigned field, int type) { varint((field << kTypeBits) | static_cast<unsigned>(type)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>((value & 0x7F) | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

// A termination log holds any bytes; protobuf's readers refuse a message whose strings are not UTF-8.
std::string as_text(std::string words) {
  if (!is_utf8(words))
    std::ranges::replace_if(
        words, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return words;
}

std::string write_end(const CommandEnd& end) {
  Writer out;
  out.number(1, end.membership);
  out.number(2, end.exit_code);
  out.text(3, as_text(end.words));
  return out.take();
}

}  // namespace

Result<Assignment> read_assignment(std::string_view bytes) {
  Reader reader(bytes);
  Assignment read;
  while (reader.next()) {
    switch (reader.field()) {
      case 3: reader.get(read.uid); break;
      case 4: reader.get(read.membership); break;
      case 9: reader.get(read.pod_uid); break;
      case 12:
        if (const auto inner = reader.message()) MUSTER_TRY(read_orders(*inner, read));
        break;
      default: break;
    }
  }
  if (reader.bad()) return malformed("the assignment");
  return read;
}

Result<WatchRequest> read_watch_request(std::string_view bytes) {
  Reader reader(bytes);
  WatchRequest read;
  while (reader.next()) {
    if (reader.field() == 1) reader.get(read.pod_uid);
    if (reader.field() == 2) reader.get(read.membership);
  }
  if (reader.bad()) return malformed("the request");
  return read;
}

std::string write_status(const Told& told) {
  Writer progress;
  progress.number(1, told.ready ? 1 : 0);
  progress.number(2, told.starts);
  if (told.end) progress.message(3, write_end(*told.end));
  Writer out;
  out.number(1, told.membership);
  out.number(2, static_cast<int>(told.phase));
  out.text(3, told.message);
  out.text(8, told.pod_uid);
  out.message(9, progress.take());
  return out.take();
}

}  // namespace muster::exec
