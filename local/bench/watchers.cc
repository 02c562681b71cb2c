// local/bench/watchers.cc: epoll over non-blocking TLS
#include "local/bench/watchers.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>

#include "local/bench/server_process.h"

namespace muster::bench {

constexpr std::size_t kDigits = 6;

Watchers::Watchers(const testing::HttpsTarget& target, const std::string& path, std::string mark,
                   std::size_t count, std::size_t events_max)
    : mark_(std::move(mark)),
      unread_(count),
      seen_(count, std::vector<Time>(events_max)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  for (std::size_t i = 0; i < count; ++i) {
    auto client = testing::HttpsClient::connect(target);
    if (!client) die(client.error().message);
    if (!client->send(client->head("GET", path, 0))) die("a watch cannot be sent");
    const auto head = client->receive_response(true);
    if (!head || head->status != 200)
      die("a watch is refused: " + (head ? head->head : head.error().message));
    client->set_blocking(false);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, client->fd(), &event);
    clients_.push_back(std::move(*client));
  }
  thread_ = std::thread([this] { run(); });
}

Watchers::~Watchers() {
  stopping_ = true;
  thread_.join();
  ::close(epoll_);
}

void Watchers::run() {
  std::array<epoll_event, 128> ready{};
  while (!stopping_) {
    const int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), 100);
    for (int i = 0; i < count; ++i)
      read(ready[static_cast<std::size_t>(i)].data.u64, std::chrono::steady_clock::now());
  }
}

void Watchers::read(std::size_t who, Time now) {
  std::string& text = unread_[who];
  while (true) {
    const std::size_t before = text.size();
    if (!clients_[who].receive(text)) die("a watch has ended");
    if (text.size() == before) break;
    std::size_t at = 0;
    std::size_t done = 0;
    while ((at = text.find(mark_, done)) != std::string::npos && at + mark_.size() + kDigits <= text.size()) {
      const auto event = static_cast<std::size_t>(std::atol(text.c_str() + at + mark_.size()));
      done = at + mark_.size() + kDigits;
      if (event < seen_[who].size() && seen_[who][event] == Time{}) {
        seen_[who][event] = now;
        ++total_;
      }
    }
    const std::size_t kept = std::min(text.size() - done, mark_.size() + kDigits);
    text.erase(0, text.size() - kept);
  }
}

bool Watchers::wait(std::size_t events, std::chrono::seconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (total_ < events * clients_.size()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

double Watchers::cpu_seconds() const {
  clockid_t clock = 0;
  timespec time{};
  if (pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0) return 0;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace muster::bench
