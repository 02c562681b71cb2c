// local/runtime/reactor.cc: epoll, an eventfd for posted work, an ordered map of timers
#include "local/runtime/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/check.h"

namespace muster::local {
namespace {

constexpr std::chrono::milliseconds kLongestWait{60'000};

}  // namespace

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  MUSTER_CHECK(epoll_.valid() && wake_.valid());
  watch(wake_.get(), [this] {
    eventfd_t count = 0;
    eventfd_read(wake_.get(), &count);
    run_posted();
  });
}

Reactor::~Reactor() {}

void Reactor::watch(int fd, Handler handler, Wait wait) {
  handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  epoll_event event{.events = wait == Wait::kReadable ? EPOLLIN : EPOLLOUT, .data = {.fd = fd}};
  MUSTER_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void Reactor::forget(int fd) {
  if (handlers_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Reactor::TimerId Reactor::at(Instant due, Handler handler) {
  const TimerId id = next_timer_++;
  timers_.emplace(std::pair{due, id}, std::move(handler));
  due_.emplace(id, due);
  return id;
}

void Reactor::cancel(TimerId id) {
  const auto found = due_.find(id);
  if (found == due_.end()) return;
  timers_.erase({found->second, id});
  due_.erase(found);
}

void Reactor::post(Handler handler) {
  {
    const MutexLock lock(mutex_);
    posted_.push_back(std::move(handler));
  }
  eventfd_write(wake_.get(), 1);
}

void Reactor::run_posted() {
  std::vector<Handler> work;
  {
    const MutexLock lock(mutex_);
    work.swap(posted_);
  }
  for (const Handler& handler : work) handler();
}

void Reactor::run_timers() {
  const Instant now = std::chrono::steady_clock::now();
  // What they set in their turn waits for the next round: nothing starves.
  const TimerId set_before = next_timer_;
  while (!timers_.empty() && timers_.begin()->first.first <= now &&
         timers_.begin()->first.second < set_before) {
    const auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

int Reactor::wait_ms() const {
  if (timers_.empty()) return static_cast<int>(kLongestWait.count());
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first -
                                                                 std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), kLongestWait).count());
}

void Reactor::run() {
  std::array<epoll_event, 64> events{};
  while (!stopped_) {
    const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    for (int i = 0; i < ready && !stopped_; ++i) {
      const auto found = handlers_.find(events[static_cast<std::size_t>(i)].data.fd);
      if (found == handlers_.end()) continue;  // forgotten by an earlier handler of this round
      const std::shared_ptr<Handler> handler = found->second;  // lives on if it forgets itself
      (*handler)();
    }
    run_timers();
  }
}

}  // namespace muster::local
