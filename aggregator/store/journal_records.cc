// aggregator/store/journal_records.cc: records as bytes, little-endian as the machine is
#include "aggregator/store/journal_records.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace muster::agg {
namespace {

static_assert(std::endian::native == std::endian::little);

class Writer {
 public:
  template <typename Number>
  void number(Number value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(const std::string& value) {
    number(static_cast<std::uint32_t>(value.size()));
    const auto bytes = std::as_bytes(std::span(value));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {  // after an error everything is 0 and empty
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool more() const { return !failed_ && !bytes_.empty(); }

  template <typename Number>
  Number number() {
    Number value{};
    if (failed_ || bytes_.size() < sizeof(Number)) return failed_ = true, Number{};
    std::memcpy(&value, bytes_.data(), sizeof(Number));
    bytes_ = bytes_.subspan(sizeof(Number));
    return value;
  }
  template <typename Number>
  void read(Number& value) {
    value = number<Number>();
  }
  void read(bool& value) { value = number<std::uint8_t>() != 0; }
  void read(std::string& value) {
    const auto size = number<std::uint32_t>();
    if (failed_ || bytes_.size() < size) {
      failed_ = true;
      return;
    }
    value.assign(reinterpret_cast<const char*>(bytes_.data()), size);
    bytes_ = bytes_.subspan(size);
  }
  void read(TaskFate& value) {
    const auto fate = number<std::uint8_t>();
    failed_ = failed_ || fate > static_cast<std::uint8_t>(TaskFate::kExpired);
    value = failed_ ? TaskFate::kExpired : static_cast<TaskFate>(fate);
  }
  // How many entries follow, each of at least `bytes_min`.
  std::size_t count(std::size_t bytes_min) {
    const auto count = number<std::uint64_t>();
    if (count > bytes_.size() / bytes_min) failed_ = true;
    return failed_ ? 0 : static_cast<std::size_t>(count);
  }
  [[nodiscard]] bool whole() const { return !failed_ && bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
  bool failed_ = false;
};

constexpr std::size_t kTaskBytesMin = 4 + 4 + 3 * 8 + 1 + 8;

void write(Writer& to, const std::vector<ResumedTask>& tasks) {
  to.number(static_cast<std::uint64_t>(tasks.size()));
  for (const ResumedTask& task : tasks) {
    to.text(task.id);
    to.number(task.client);
    to.number(task.number);
    to.number(task.copies);
    to.number(task.serial);
    to.number(static_cast<std::uint8_t>(task.fate));
    to.number(task.cycle);
  }
}

void read(Reader& from, std::vector<ResumedTask>& tasks) {
  tasks.resize(from.count(kTaskBytesMin));
  for (ResumedTask& task : tasks) {
    from.read(task.id);
    from.read(task.client);
    from.read(task.number);
    from.read(task.copies);
    from.read(task.serial);
    from.read(task.fate);
    from.read(task.cycle);
  }
}

void write(Writer& to, const JournalStart& record) {
  to.text(record.owner.uid);
  to.text(record.owner.fingerprint);
  to.number(record.owner.clients);
  to.number(record.owner.parameters);
  to.number(record.round);
  to.number(record.next_sequence);
  to.number(record.resume.attempt);
  to.number(record.resume.cycle);
  write(to, record.resume.tasks);
}
void read(Reader& from, JournalStart& record) {
  from.read(record.owner.uid);
  from.read(record.owner.fingerprint);
  from.read(record.owner.clients);
  from.read(record.owner.parameters);
  from.read(record.round);
  from.read(record.next_sequence);
  from.read(record.resume.attempt);
  from.read(record.resume.cycle);
  read(from, record.resume.tasks);
}

void write(Writer& to, const TasksGiven& record) { write(to, record.tasks); }
void read(Reader& from, TasksGiven& record) { read(from, record.tasks); }

void write(Writer& to, const TaskFetched& record) {
  to.text(record.id);
  to.number(record.number);
}
void read(Reader& from, TaskFetched& record) {
  from.read(record.id);
  from.read(record.number);
}

void write(Writer& to, const TaskOver& record) {
  to.text(record.id);
  to.number(static_cast<std::uint8_t>(record.fate));
}
void read(Reader& from, TaskOver& record) {
  from.read(record.id);
  from.read(record.fate);
}

void write(Writer& to, const UpdateKept& record) {
  to.number(record.sequence);
  to.text(record.id);
  to.number(record.client);
  to.number(record.number);
  to.number(record.copies);
  to.number(record.examples);
  to.number(record.weight);
  to.number(record.steps);
  to.number(static_cast<std::uint8_t>(record.partial));
  to.number(record.loss);
  to.number(record.accuracy);
  to.text(record.sha256);
  if (record.held_out.examples == 0) return;  // as every record before there were figures
  to.number(record.held_out.examples);
  to.number(record.held_out.global);
  to.number(record.held_out.tuned);
  to.number(record.held_out.personal);
}
void read(Reader& from, UpdateKept& record) {
  from.read(record.sequence);
  from.read(record.id);
  from.read(record.client);
  from.read(record.number);
  from.read(record.copies);
  from.read(record.examples);
  from.read(record.weight);
  from.read(record.steps);
  from.read(record.partial);
  from.read(record.loss);
  from.read(record.accuracy);
  from.read(record.sha256);
  if (!from.more()) return;
  from.read(record.held_out.examples);
  from.read(record.held_out.global);
  from.read(record.held_out.tuned);
  from.read(record.held_out.personal);
}

void write(Writer& to, const RoundClosed& record) {
  to.number(record.round);
  to.number(record.cycle);
  to.number(static_cast<std::uint8_t>(record.committed));
  to.number(static_cast<std::uint8_t>(record.ends_tasks));
  to.number(record.settled);
  to.number(static_cast<std::uint64_t>(record.taken.size()));
  for (const TakenUpdate& taken : record.taken) {
    to.number(taken.sequence);
    to.text(taken.id);
  }
}
void read(Reader& from, RoundClosed& record) {
  from.read(record.round);
  from.read(record.cycle);
  from.read(record.committed);
  from.read(record.ends_tasks);
  from.read(record.settled);
  record.taken.resize(from.count(sizeof(std::uint64_t) + sizeof(std::uint32_t)));
  for (TakenUpdate& taken : record.taken) {
    from.read(taken.sequence);
    from.read(taken.id);
  }
}

template <std::size_t kKind = 0>
Result<JournalRecord> decode_kind(std::size_t kind, std::span<const std::byte> bytes) {
  if constexpr (kKind == std::variant_size_v<JournalRecord>) {
    return data_loss("a record of a kind that this version of Muster does not know");
  } else {
    if (kind != kKind) return decode_kind<kKind + 1>(kind, bytes);
    std::variant_alternative_t<kKind, JournalRecord> record;
    Reader reader(bytes);
    read(reader, record);
    if (!reader.whole()) return data_loss("a record that is too short or too long for its kind");
    return JournalRecord(std::move(record));
  }
}

}  // namespace

std::vector<std::byte> encode(const JournalRecord& record) {
  Writer writer;
  std::visit([&](const auto& it) { write(writer, it); }, record);
  return writer.take();
}

Result<JournalRecord> decode(std::size_t kind, std::span<const std::byte> bytes) {
  return decode_kind(kind, bytes);
}

std::int64_t staleness_of(const UpdateKept& update, std::int64_t round) {
  return std::max<std::int64_t>(0, round - update.number);
}

Contribution contribution_of(const UpdateKept& update, std::span<const float> values, std::int64_t round) {
  return {.client = update.client,
          .delta = values,
          .examples = update.examples,
          .weight = update.weight,
          .steps = update.steps,
          .discount = 1 / std::sqrt(1 + static_cast<double>(staleness_of(update, round))),
          .copies = static_cast<double>(update.copies)};
}

}  // namespace muster::agg
