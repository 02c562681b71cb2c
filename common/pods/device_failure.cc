// common/pods/device_failure.cc: one sentence, written and read
#include "common/pods/device_failure.h"

#include <fmt/format.h>

namespace muster {
namespace {

constexpr std::string_view kDevice = "the device ";
constexpr std::string_view kHasFailed = " has failed: ";

}  // namespace

std::string failed_device_words(std::string_view device, std::string_view why) {
  return fmt::format("{}{}{}{}; its pod needs another", kDevice, device, kHasFailed, why);
}

bool tells_of_failed_device(std::string_view words) {
  return words.starts_with(kDevice) && words.find(kHasFailed) != std::string_view::npos;
}

}  // namespace muster
