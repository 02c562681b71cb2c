// common/pods/last_words.cc: how a container ended, in words
#include <fmt/format.h>

#include <array>
#include <utility>

#include "common/base/text.h"
#include "common/pods/pod_state.h"

namespace muster {
namespace {

constexpr std::size_t kSentenceMax = 512;  // of last words in a condition's message
constexpr std::size_t kLineMax = 200;      // of a log's tail
constexpr std::int64_t kSignalBase = 128;  // an exit code above it is this and a signal, as in a shell

constexpr std::array<std::pair<int, const char*>, 13> kSignals{{{1, "SIGHUP"},
                                                                {2, "SIGINT"},
                                                                {3, "SIGQUIT"},
                                                                {4, "SIGILL"},
                                                                {5, "SIGTRAP"},
                                                                {6, "SIGABRT"},
                                                                {7, "SIGBUS"},
                                                                {8, "SIGFPE"},
                                                                {9, "SIGKILL"},
                                                                {11, "SIGSEGV"},
                                                                {13, "SIGPIPE"},
                                                                {15, "SIGTERM"},
                                                                {24, "SIGXCPU"}}};

// "2030-01-01T00:00:00.000Z info worker: " in front of a line of Muster's own log.
std::string_view without_stamp(std::string_view line) {
  if (line.size() < 24 || line[10] != 'T' || line[23] != 'Z') return line;
  const std::size_t colon = line.find(": ");
  return colon == std::string_view::npos ? line : line.substr(colon + 2);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Takes the last line that says something off `text`; empty: there is none.
std::string_view take_last_line(std::string_view& text) {
  text = trimmed(text);
  const std::size_t start = text.find_last_of("\r\n");
  const std::string_view line = start == std::string_view::npos ? text : text.substr(start + 1);
  text.remove_suffix(line.size());
  return trimmed(line);
}

}  // namespace

std::string exit_words(const ContainerEnd& end) {
  std::string note = end.reason == "Error" || end.reason == "Completed" ? "" : end.reason;
  for (const auto& [number, name] : kSignals)
    if (end.exit_code == kSignalBase + number) note = name;
  if (end.reason == "OOMKilled") note = "out of memory";
  return fmt::format("code {}{}", end.exit_code, note.empty() ? "" : fmt::format(" ({})", note));
}

std::string with_last_words(std::string what, std::string_view message) {
  const std::string_view last = take_last_line(message);
  const std::string_view before = take_last_line(message);
  if (last.empty()) return what;
  if (before.empty() && without_stamp(last) == last) return what + ": " + clip(last, kSentenceMax);
  for (const std::string_view line : {before, last})
    if (!line.empty()) what += "\n" + clip(without_stamp(line), kLineMax);
  return what;
}

std::string with_note(std::string what, std::string_view note) {
  return what.insert(std::min(what.find('\n'), what.size()), fmt::format("; {}", note));
}

}  // namespace muster
