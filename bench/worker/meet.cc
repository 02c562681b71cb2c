// bench/worker/meet.cc: ranks find each other by files of one folder
#include <chrono>
#include <fstream>
#include <thread>

#include "bench/worker/contender.h"

namespace muster::bench {

std::vector<std::string> meet(const Place& place, int port) {
  const auto mine = place.folder / std::to_string(place.rank);
  std::ofstream(mine.string() + ".new") << place.address << ":" << port;
  std::filesystem::rename(mine.string() + ".new", mine);
  std::vector<std::string> all;
  for (int peer = 0; peer < place.size; ++peer) {
    const auto file = place.folder / std::to_string(peer);
    while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::ifstream(file) >> all.emplace_back();
  }
  return all;
}

}  // namespace muster::bench
