#pragma once  // tests/worker/fake_program.h: the program's end, frame by frame, so that it can behave in any
              // way
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>

#include "common/platform/sealed_memory.h"
#include "common/program/channel.h"
#include "common/program/program_link.h"

namespace muster::program::test {

// A folder of its own for a socket, whose path is longer than an address may be.
class SocketFolder {
 public:
  SocketFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "muster-program.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::filesystem::create_directories(folder_ / std::string(120, 'd'));
  }
  ~SocketFolder() { std::filesystem::remove_all(folder_); }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  [[nodiscard]] std::string socket(const std::string& name = "worker") const {
    return (folder_ / std::string(120, 'd') / name).string();
  }

 private:
  std::filesystem::path folder_;
};

inline std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

// One connection. Nothing is checked that the test does not look at.
class FakeProgram {
 public:
  explicit FakeProgram(const std::string& socket) : channel_(connected(socket)) {}
  void tell(const Frame& frame, std::span<const std::byte> with = {}) {
    static_cast<void>(channel_.send(frame, with, deadline_after(std::chrono::seconds(20))));
  }
  // The next frame but for those that say nothing; nullopt: the worker is gone.
  std::optional<Frame> hear() {
    for (;;) {
      const auto frame = channel_.receive(deadline_after(std::chrono::seconds(20)));
      if (!frame || !*frame) return std::nullopt;
      if (!channel_.receive_body((*frame)->body_bytes, body, deadline_after(std::chrono::seconds(20))))
        return std::nullopt;
      if ((*frame)->kind != Kind::kAlive) return *frame;
    }
  }
  // Up to kReady; its memory is `memory` then.
  void register_model(const std::vector<TensorShape>& tensors, std::int64_t examples,
                      std::int64_t batch_size = 0, const std::string& optimizer = "") {
    tell({.kind = Kind::kHello, .numbers = {kProtocol}}, bytes_of("test"));
    ASSERT_EQ(hear().value_or(Frame{}).kind, Kind::kWorld);
    tell({.kind = Kind::kTensors}, write_tensors(tensors));
    const auto told = hear();
    ASSERT_EQ(told.value_or(Frame{}).kind, Kind::kMemory);
    count = static_cast<std::size_t>(told->numbers[0]);
    gradient_at = static_cast<std::size_t>(told->numbers[1]);
    auto mapped = SealedMemory::map(channel_.take_descriptor(), static_cast<std::size_t>(told->numbers[2]));
    ASSERT_TRUE(mapped) << mapped.error().message;
    memory = *std::move(mapped);
    tell({.kind = Kind::kReady, .numbers = {examples, batch_size}}, bytes_of(optimizer));
  }
  [[nodiscard]] std::span<float> parameters() const { return memory.floats(0, count); }
  [[nodiscard]] std::span<float> gradient() const { return memory.floats(gradient_at, count); }
  Channel& channel() { return channel_; }

  std::vector<std::byte> body;  // of the last frame that was heard
  SealedMemory memory;
  std::size_t count = 0;
  std::size_t gradient_at = 0;

 private:
  static FileDescriptor connected(const std::string& socket) {
    auto made = connect_to(socket);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *std::move(made) : FileDescriptor();
  }
  Channel channel_;
};

inline const std::vector<TensorShape> kModel{{"w", {2, 3}}, {"b", {}}};
inline constexpr World kWorld{.rank = 1, .size = 3, .membership = 4, .batch_size = 8, .epochs = 2, .seed = 5};

inline std::unique_ptr<ProgramLink> listen(
    const SocketFolder& folder, std::chrono::milliseconds answer = std::chrono::seconds(20),
    std::function<void()> stop_asked = [] {}) {
  auto link = ProgramLink::listen(
      {.path = folder.socket(), .stop_asked = std::move(stop_asked), .riders = 2, .answer = answer});
  EXPECT_TRUE(link) << link.error().message;
  return *std::move(link);
}

// Ends before its program's thread does.
class ProgramThread {
 public:
  template <typename Body>
  explicit ProgramThread(Body body) : thread_(std::move(body)) {}
  ~ProgramThread() { thread_.join(); }
  ProgramThread(const ProgramThread&) = delete;
  ProgramThread& operator=(const ProgramThread&) = delete;

 private:
  std::thread thread_;
};

}  // namespace muster::program::test
