#include "base/threads.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace nearplane {
namespace {

thread_local bool inside_task = false;

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// One call of parallel_for: threads draw indexes until none is left.
struct Job {
  Job(std::int64_t n, const std::function<void(std::int64_t)>& f) : count(n), body(&f) {}
  const std::int64_t count;
  const std::function<void(std::int64_t)>* const body;
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::int64_t failed = INT64_MAX;
  std::exception_ptr error;

  void run() {
    inside_task = true;
    for (std::int64_t i; (i = next.fetch_add(1)) < count;) {
      try {
        (*body)(i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (i < failed) failed = i, error = std::current_exception();
      }
    }
    inside_task = false;
  }
};

class Pool {
 public:
  explicit Pool(int workers) {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }

  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
      busy_ = static_cast<int>(threads_.size());
    }
    wake_.notify_all();
    job.run();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

 private:
  void work() {
    omp_set_num_threads(1);
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      Job* job = job_;
      lock.unlock();
      job->run();
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Job* job_ = nullptr;
  std::uint64_t generation_ = 0;
  int busy_ = 0;
  bool stop_ = false;
};

std::mutex pool_mutex;  // held for the whole of a parallel_for: independent callers take turns
std::unique_ptr<Pool> pool;
int wanted = 0;

}  // namespace

void set_thread_count(int count) {
  std::lock_guard lock(pool_mutex);
  wanted = count;
  pool.reset();
}

int thread_count() { return wanted > 0 ? wanted : available_cores(); }

void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  if (inside_task) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::lock_guard lock(pool_mutex);
  const int outer_omp = omp_get_max_threads();
  omp_set_num_threads(1);
  Job job(count, body);
  const int threads = thread_count();
  if (threads == 1 || count <= 1) {
    job.run();
  } else {
    if (!pool) pool = std::make_unique<Pool>(threads - 1);
    pool->run(job);
  }
  omp_set_num_threads(outer_omp);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace nearplane
