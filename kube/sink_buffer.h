#pragma once  // kube/sink_buffer.h: a cpprestsdk stream buffer that hands bytes on instead of keeping them;
              // private
#include <cpprest/astreambuf.h>
#include <cpprest/streams.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muster::kube {

// Write-only; the library's own buffers grow without bound when nobody reads. A consumer that returns false
// breaks the transfer, which makes the library close the connection.
class SinkBuffer final : public concurrency::streams::details::streambuf_state_manager<std::uint8_t> {
 public:
  using Consumer = std::function<bool(std::string_view)>;
  explicit SinkBuffer(Consumer consumer)
      : streambuf_state_manager<std::uint8_t>(std::ios_base::out), consumer_(std::move(consumer)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  std::size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(std::size_t, std::ios_base::openmode) override {}
  std::size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return pos_type(traits::eof()); }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return pos_type(traits::eof()); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return pos_type(traits::eof());
  }
  bool acquire(std::uint8_t*&, std::size_t&) override { return false; }
  void release(std::uint8_t*, std::size_t) override {}

 protected:
  pplx::task<int_type> _putc(std::uint8_t byte) override {
    if (!give(&byte, 1)) return refused<int_type>();
    return pplx::task_from_result<int_type>(byte);
  }
  pplx::task<std::size_t> _putn(const std::uint8_t* bytes, std::size_t count) override {
    if (!give(bytes, count)) return refused<std::size_t>();
    return pplx::task_from_result<std::size_t>(count);
  }
  pplx::task<int_type> _bumpc() override { return at_end(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return at_end(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return at_end(); }
  pplx::task<int_type> _ungetc() override { return at_end(); }
  pplx::task<std::size_t> _getn(std::uint8_t*, std::size_t) override {
    return pplx::task_from_result<std::size_t>(0);
  }
  std::size_t _scopy(std::uint8_t*, std::size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  std::uint8_t* _alloc(std::size_t) override { return nullptr; }
  void _commit(std::size_t) override {}

 private:
  bool give(const std::uint8_t* bytes, std::size_t count) {
    return consumer_(std::string_view(reinterpret_cast<const char*>(bytes), count));
  }
  template <typename T>
  static pplx::task<T> refused() {
    return pplx::task_from_exception<T>(std::runtime_error("the reader has left"));
  }
  static pplx::task<int_type> at_end() { return pplx::task_from_result<int_type>(traits::eof()); }

  Consumer consumer_;
};

inline concurrency::streams::ostream make_sink_stream(SinkBuffer::Consumer consumer) {
  const std::shared_ptr<concurrency::streams::details::basic_streambuf<std::uint8_t>> buffer =
      std::make_shared<SinkBuffer>(std::move(consumer));
  return concurrency::streams::streambuf<std::uint8_t>(buffer).create_ostream();
}

}  // namespace muster::kube
