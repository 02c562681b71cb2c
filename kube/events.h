#pragma once  // kube/events.h: Kubernetes events about our objects, written in the background
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "common/platform/mutex.h"
#include "kube/client.h"
#include "kube/event_correlator.h"

namespace muster::kube {

class EventRecorder {
 public:
  // `on_refused` hears once, from the recorder's thread, that the API server lets it write no event.
  EventRecorder(Client& client, std::string component, std::function<void(const Error&)> on_refused = {});
  ~EventRecorder();  // writes what is queued, within 2 s

  // Never blocks; drops the record when 1000 are waiting. Failures to write are dropped too (a namespace is
  // going away), but for an event that is to be raised and is gone (they live an hour, or creating it
  // failed): it is created anew.
  void record(EventRecord record) MUSTER_EXCLUDES(mutex_);

 private:
  void run(const std::stop_token& stop);
  void write(EventRecord record);
  void failed(const Error& error);

  Client& client_;
  std::function<void(const Error&)> on_refused_;  // of the thread
  EventCorrelator correlator_;                    // of the thread
  Mutex mutex_;
  Condition wake_;
  std::deque<EventRecord> queue_ MUSTER_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace muster::kube
