#pragma once  // aggregator/store/mapped_shelf.h: the updates of a round in a file without a name
#include <cstdint>
#include <filesystem>

#include "aggregator/strategy/update_shelf.h"

namespace muster::agg {

// Updates are written behind each other to a file in `folder` that no name leads to: it goes with the round,
// and with the process whatever its end. Disk: 4 P bytes an update. Memory: the file is mapped to be read, so
// its pages are the page cache's, which takes them back when others need room. Nothing is made durable: a
// round that a process did not finish is played again.
class MappedShelf final : public UpdateShelf {
 public:
  // `updates_max`: of a round; the first one is refused when the folder has no room for so many. 0: any
  // number.
  MappedShelf(std::filesystem::path folder, std::size_t parameters, std::size_t updates_max = 0)
      : folder_(std::move(folder)), parameters_(parameters), updates_max_(updates_max) {}
  ~MappedShelf() override { clear(); }
  MappedShelf(const MappedShelf&) = delete;
  MappedShelf& operator=(const MappedShelf&) = delete;

  [[nodiscard]] Status add(std::span<const float> values) override;
  [[nodiscard]] Result<std::span<const float>> all() override;
  void clear() override;

 private:
  [[nodiscard]] Status open();
  [[nodiscard]] Status check_room() const;
  void unmap();

  std::filesystem::path folder_;  // created when missing
  std::size_t parameters_;
  std::size_t updates_max_;
  int file_ = -1;
  std::size_t count_ = 0;  // updates in it
  void* mapping_ = nullptr;
  std::size_t mapped_bytes_ = 0;
};

}  // namespace muster::agg
