// Rates of the kernels against cuBLAS in bf16 in the same run, as ratios, and of the pipes that their limits rest on.
// Weights are random and taken in turn from copies that the second cache cannot hold together; launches are replayed
// from a graph, so that the host is not measured. Times are medians of kRounds replays.
// measure RESULTS_FOLDER SANITIZER_RESULT writes RESULTS_FOLDER/<gpu>.json. Exit status as in check.cu.
#include <cublas_v2.h>

#include <cctype>
#include <cmath>
#include <functional>
#include <memory>

#include "device.cuh"

namespace nearplane::cuda {
namespace {

constexpr int kRounds = 7, kLaunches = 24;

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "gpu-check: %s: %s\n", what, cublasGetStatusString(status));
  std::exit(1);
}

class Clock {
 public:
  Clock() {
    cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
    cudaEventCreate(&begin_), cudaEventCreate(&end_);
  }
  cudaStream_t stream() const { return stream_; }
  /// Seconds of run(i), launched once for each i < launches in one graph.
  double seconds(const std::function<void(int)>& run, int launches = kLaunches) {
    run(0);  // loads what is loaded at first use
    cuda::check(cudaStreamSynchronize(stream_), "warming up");
    cudaGraph_t graph;
    cudaGraphExec_t replay;
    cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing");
    for (int i = 0; i < launches; ++i) run(i);
    cuda::check(cudaStreamEndCapture(stream_, &graph), "capturing");
    cuda::check(cudaGraphInstantiate(&replay, graph, 0), "making a graph");
    std::vector<float> times;
    for (int round = 0; round <= kRounds; ++round) {
      float milliseconds = 0;
      cudaEventRecord(begin_, stream_);
      cudaGraphLaunch(replay, stream_);
      cudaEventRecord(end_, stream_);
      cuda::check(cudaEventSynchronize(end_), "measuring");
      cudaEventElapsedTime(&milliseconds, begin_, end_);
      if (round > 0) times.push_back(milliseconds);
    }
    cudaGraphExecDestroy(replay), cudaGraphDestroy(graph);
    std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
    return 1e-3 * times[kRounds / 2] / launches;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_, end_;
};

// Pipes: kSteps times eight independent operations of a thread, in blocks that fill the device.
constexpr int kSteps = 4096;

enum class Pipe { dot4, logic, shift, shared };

template <Pipe kPipe>
__global__ void pipe_kernel(std::uint32_t* out, std::uint32_t seed) {
  __shared__ std::uint32_t table[4096];
  for (unsigned i = threadIdx.x; i < 4096; i += blockDim.x) table[i] = seed * i;
  __syncthreads();
  std::uint32_t v[8];
  for (int i = 0; i < 8; ++i) v[i] = seed * (threadIdx.x + i + 1);
  for (int step = 0; step < kSteps; ++step) NEARPLANE_UNROLL
  for (int i = 0; i < 8; ++i) {
    if (kPipe == Pipe::dot4) v[i] = static_cast<std::uint32_t>(dot4(v[(i + 1) % 8], seed, static_cast<int>(v[i])));
    if (kPipe == Pipe::logic) v[i] = (v[i] & seed) ^ v[(i + 3) % 8];
    if (kPipe == Pipe::shift) v[i] = funnel(v[i], v[(i + 5) % 8], v[(i + 1) % 8]);
    if (kPipe == Pipe::shared) v[i] = table[(v[i] & 0xfe0) | threadIdx.x % 32];
  }
  std::uint32_t all = 0;
  for (int i = 0; i < 8; ++i) all ^= v[i];
  if (all == 0x12345678) *out = all;
}

__global__ void read_kernel(const Line* from, std::int64_t lines, std::uint32_t* out) {
  std::uint32_t all = 0;
  for (auto i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < lines;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const auto line = read_once(from + i);
    all ^= line.word[0] ^ line.word[1] ^ line.word[2] ^ line.word[3];
  }
  if (all == 0x12345678) *out = all;
}

__global__ void random_kernel(std::uint32_t* out, std::int64_t words, std::uint32_t and_mask, std::uint32_t or_mask) {
  for (auto i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    auto z = static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    out[i] = (static_cast<std::uint32_t>(z ^ z >> 31) & and_mask) | or_mask;
  }
}

struct Report {
  std::string text;
  void line(const std::string& json) { text += (text.empty() ? "    " : ",\n    ") + json; }
};

std::string number(double v) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.6g", v);
  return std::isfinite(v) ? buffer : "null";
}

class Bench {
 public:
  explicit Bench(const cudaDeviceProp& device) : device_(device), limits_(DeviceLimits::of(0)) {
    check(cublasCreate(&blas_), "starting cuBLAS");
    check(cublasSetStream(blas_, clock_.stream()), "starting cuBLAS");
  }

  void measure_pipes() {
    DeviceArray<std::uint32_t> out(1);
    const int blocks = 2 * limits_.multiprocessors, threads = 1024;
    const auto rate = [&](auto kernel) {
      const auto t =
          clock_.seconds([&](int) { kernel<<<blocks, threads, 0, clock_.stream()>>>(out.data(), 0x9e3779b9u); }, 4);
      return 8.0 * kSteps * blocks * threads / t;
    };
    const std::size_t lines = (std::size_t{1} << 30) / sizeof(Line);
    DeviceArray<Line> memory(lines);
    const auto t = clock_.seconds(
        [&](int) {
          read_kernel<<<8 * limits_.multiprocessors, 512, 0, clock_.stream()>>>(
              memory.data(), static_cast<std::int64_t>(lines), out.data());
        },
        4);
    pipes_ = "\"read_bytes_per_s\": " + number(static_cast<double>(lines * sizeof(Line)) / t) +
             ", \"dot4_per_s\": " + number(rate(pipe_kernel<Pipe::dot4>)) +
             ", \"logic_per_s\": " + number(rate(pipe_kernel<Pipe::logic>)) +
             ", \"shift_per_s\": " + number(rate(pipe_kernel<Pipe::shift>)) +
             ", \"shared_reads_per_s\": " + number(rate(pipe_kernel<Pipe::shared>));
    std::printf("pipes: %s\n", pipes_.c_str());
  }

  void measure_shape(int rows, int cols) {
    std::size_t free = 0, total = 0;
    cuda::check(cudaMemGetInfo(&free, &total), "asking for memory");
    const auto need = copies_of(2.0 * rows * cols) * 2.0 * rows * cols + 4.0 * rows * cols + 1e9;
    if (static_cast<double>(free) < need) {
      std::printf("%d x %d: left out, %.1f GB are free, %.1f needed\n", rows, cols, 1e-9 * free, 1e-9 * need);
      left_out_.line("\"" + std::to_string(rows) + " x " + std::to_string(cols) + "\"");
      return;
    }
    rows_ = rows, cols_ = cols;
    Rng rng(3);
    x_ = random_inputs(rng, kMostBatch, cols);
    measure_cublas();
    for (const int bits : {2, 3, 4, 8}) measure_dense(bits, 0);
    for (const int bits : {2, 3, 4}) measure_dense(bits, 0.005);
    measure_tuple("tuples", 3, 1, 10, 6.3);
    measure_tuple("tuples", 2, 1, 10, 6.2);
    measure_tuple("tuples", 1, 1, 10, 4.1);
    measure_tuple("trellis", 3, 4, 8, 6.3);
    measure_tuple("trellis", 2, 4, 8, 4.2);
    measure_tuple("trellis", 2, 4, 9, 6.2);
    measure_tuple("trellis", 2, 8, 8, 4.2);
  }

  std::string json(const std::string& sanitizer) const {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver), cudaRuntimeGetVersion(&runtime);
    return "{\n  \"gpu\": \"" + std::string(device_.name) +
           "\",\n  \"multiprocessors\": " + std::to_string(limits_.multiprocessors) +
           ",\n  \"second_cache_bytes\": " + std::to_string(device_.l2CacheSize) +
           ",\n  \"driver\": " + std::to_string(driver) + ",\n  \"runtime\": " + std::to_string(runtime) +
           ",\n  \"compute_sanitizer\": \"" + sanitizer + "\",\n  \"pipes\": {" + pipes_ + "},\n  \"left_out\": [\n" +
           left_out_.text + "\n  ],\n  \"results\": [\n" + results_.text + "\n  ]\n}\n";
  }
  std::string file_name() const {
    std::string name;
    for (const char* c = device_.name; *c != 0; ++c)
      name += std::isalnum(static_cast<unsigned char>(*c)) ? static_cast<char>(std::tolower(*c)) : '-';
    return name + ".json";
  }

 private:
  static constexpr int kBatches[] = {1, 4, 16, 64, 512}, kMostBatch = 512;

  /// So many that they are four times the second cache together.
  int copies_of(double bytes) const { return 1 + static_cast<int>(std::ceil(4.0 * device_.l2CacheSize / bytes)); }

  void fill(void* at, std::size_t bytes, std::uint32_t and_mask = ~0u, std::uint32_t or_mask = 0) {
    random_kernel<<<4 * limits_.multiprocessors, 256, 0, clock_.stream()>>>(
        static_cast<std::uint32_t*>(at), static_cast<std::int64_t>(bytes / 4), and_mask, or_mask);
    cuda::check(cudaGetLastError(), "filling with random numbers");
  }
  /// bf16 numbers of either sign and a size in [1, 2).
  DeviceArray<std::uint16_t> random_bf16(std::size_t count) {
    DeviceArray<std::uint16_t> out((count + 1) / 2 * 2);
    fill(out.data(), (count + 1) / 2 * 4, 0x807f807fu, 0x3f803f80u);
    return out;
  }
  /// y [T, rows] f32 = x [T, cols] w [rows, stride] transposed.
  void multiply(const std::uint16_t* w, std::int64_t stride, const std::uint16_t* x, int tokens, float* y) {
    const float one = 1, zero = 0;
    check(cublasGemmEx(blas_, CUBLAS_OP_T, CUBLAS_OP_N, rows_, tokens, cols_, &one, w, CUDA_R_16BF,
                       static_cast<int>(stride), x, CUDA_R_16BF, cols_, &zero, y, CUDA_R_32F, rows_, CUBLAS_COMPUTE_32F,
                       CUBLAS_GEMM_DEFAULT),
          "cuBLAS");
  }

  void measure_cublas() {
    const auto weights = static_cast<std::size_t>(rows_) * static_cast<std::size_t>(cols_);
    const int copies = copies_of(2.0 * static_cast<double>(weights));
    const auto w = random_bf16(weights * static_cast<std::size_t>(copies)),
               x = random_bf16(kMostBatch * static_cast<std::size_t>(cols_));
    DeviceArray<float> y(kMostBatch * static_cast<std::size_t>(rows_));
    cublas_.clear();
    for (const int tokens : kBatches) {
      const auto t = clock_.seconds([&](int i) {
        multiply(w.data() + static_cast<std::size_t>(i % copies) * weights, cols_, x.data(), tokens, y.data());
      });
      cublas_.push_back(t);
      report("cublas bf16", 16, tokens, "cublas", t, 0);
    }
  }

  void report(const std::string& kernel, double bits, int tokens, const char* path, double seconds, double inputs) {
    const auto batch = static_cast<std::size_t>(std::find(std::begin(kBatches), std::end(kBatches), tokens) - kBatches);
    const double ratio = cublas_[batch] / seconds;
    std::printf("%-24s %6d x %6d %4d tokens %9.2f us %6.2f of cuBLAS\n", kernel.c_str(), rows_, cols_, tokens,
                1e6 * seconds, ratio);
    results_.line("{\"kernel\": \"" + kernel + "\", \"rows\": " + std::to_string(rows_) + ", \"cols\": " +
                  std::to_string(cols_) + ", \"bits\": " + number(bits) + ", \"tokens\": " + std::to_string(tokens) +
                  ", \"path\": \"" + path + "\", \"us\": " + number(1e6 * seconds) +
                  ", \"inputs_us\": " + number(1e6 * inputs) + ", \"ratio\": " + number(ratio) +
                  ", \"weights_per_s\": " + number(static_cast<double>(rows_) * cols_ / seconds) + "}");
  }

  /// A representation: view(i) is copy i on the device, packed(view, in, y) its kernel for up to `most` tokens.
  template <class ViewOf, class Packed>
  void measure(const std::string& name, double bits, int copies, int most, const ViewOf& view_of,
               const Packed& packed) {
    const auto first = view_of(0);
    const auto stride = decoded_stride(first);
    DeviceArray<float> y(kMostBatch * static_cast<std::size_t>(rows_));
    DeviceArray<std::uint16_t> scratch(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(stride));
    const auto x = random_bf16(kMostBatch * static_cast<std::size_t>(cols_));
    for (const int tokens : kBatches) {
      const DeviceInputs inputs{
          InputMemory(first.piece_shape(), tokens, {x_.begin(), x_.begin() + std::ptrdiff_t{tokens} * cols_})};
      const auto in = inputs.view(tokens);
      const auto pack = [&](int) { cuda::check(launch_inputs(first.piece_shape(), in, clock_.stream()), "inputs"); };
      const bool direct = tokens <= most;
      const auto run = [&](int i) {
        const auto w = view_of(i % copies);
        if (direct) return cuda::check(packed(w, in, y.data()), "packed product");
        cuda::check(launch_decode(w, limits_, scratch.data(), clock_.stream()), "decode");
        multiply(scratch.data(), stride, x.data(), tokens, y.data());
        if (w.extras.list_starts != nullptr) cuda::check(launch_extras(w, in, y.data(), clock_.stream()), "list");
      };
      pack(0);  // the list reads its inputs too
      report(name, bits, tokens, direct ? "packed" : "decoded, then cublas", clock_.seconds(run),
             direct ? clock_.seconds(pack) : 0);
    }
  }

  void measure_dense(int bits, double list_share) {
    DenseMatrix w{};
    w.rows = rows_, w.cols = cols_, w.bits = bits, w.tiles = (cols_ + kTileColumns - 1) / kTileColumns;
    w.piece_tiles = 2, w.pieces = w.groups = (w.tiles + 1) / 2, w.group_pieces = 1;  // groups of 128
    const auto lines = static_cast<std::size_t>(w.row_blocks()) * static_cast<std::size_t>(w.tiles * 16 * bits);
    const auto scale_count = static_cast<std::size_t>(w.row_blocks()) * static_cast<std::size_t>(w.groups * kBlockRows);
    const int copies = copies_of(static_cast<double>(lines * sizeof(Line)));
    const auto n = static_cast<std::size_t>(copies);
    const DeviceArray<Line> codes(lines * n);
    const DeviceArray<std::uint16_t> scales(scale_count * n);
    const DeviceArray<std::uint8_t> zeros(scale_count * n);
    fill(codes.data(), lines * n * sizeof(Line));
    fill(scales.data(), scale_count * n * 2, 0x03ff03ffu, 0x20002000u);
    fill(zeros.data(), scale_count * n, 0x03030303u);
    Rng rng(2);
    const auto extras = random_extras(rng, rows_, cols_, list_share, list_share > 0 ? 8 : 0, false, false);
    const DeviceExtras on_device(extras);
    w.extras = on_device.view(extras);
    const auto view_of = [&](int i) {
      auto out = w;
      out.codes = codes.data() + lines * static_cast<std::size_t>(i);
      out.scales = scales.data() + scale_count * static_cast<std::size_t>(i);
      out.zeros = zeros.data() + scale_count * static_cast<std::size_t>(i);
      return out;
    };
    const auto weights = static_cast<double>(rows_) * cols_;
    const double list_bytes = 4.0 * static_cast<double>(extras.list.size() + extras.starts.size()) +
                              2.0 * static_cast<double>(extras.kept_values.size());
    const double all = static_cast<double>(lines * sizeof(Line) + scale_count * 3) + list_bytes;
    measure("int" + std::to_string(bits) + (list_share > 0 ? " with list" : ""), 8 * all / weights, copies, kMostTokens,
            view_of,
            [&](const DenseMatrix& m, const Inputs& in, float* y) { return launch_dense(m, in, y, clock_.stream()); });
  }

  /// Chunks of kCaseRows random rows, again and again.
  void measure_tuple(const char* kind, int k, int states, int table_bits, double word_bits) {
    constexpr int kCaseRows = 64;
    Rng rng(4);
    const int columns = states == 1 ? TupleLayout::columns_for(cols_, k) : 144;
    const auto c = TupleCase::random(rng, kCaseRows, cols_, columns,
                                     RandomBook::random(rng, k, states, table_bits, word_bits), true);
    const TupleLayout layout(c.source());
    const int repeat = (rows_ + kCaseRows - 1) / kCaseRows;
    const auto lines = layout.data.size() * static_cast<std::size_t>(repeat);
    const int copies = copies_of(static_cast<double>(lines * sizeof(Line)));
    std::vector<std::uint32_t> starts;
    for (int i = 0; i < repeat; ++i)
      for (std::size_t s = 0; s + 1 < layout.starts.size(); ++s)
        starts.push_back(layout.starts[s] + static_cast<std::uint32_t>(i) * layout.starts.back());
    starts.push_back(static_cast<std::uint32_t>(lines));
    const DeviceArray<std::uint32_t> table(layout.table), on_device(starts);
    const DeviceArray<Line> data(lines * static_cast<std::size_t>(copies));
    for (std::size_t at = 0; at < lines * static_cast<std::size_t>(copies); at += layout.data.size())
      cuda::check(
          cudaMemcpy(data.data() + at, layout.data.data(), layout.data.size() * sizeof(Line), cudaMemcpyHostToDevice),
          "copying");
    const auto view_of = [&](int i) {
      auto out = layout.view();
      out.rows = rows_;
      out.table = table.data(), out.starts = on_device.data(),
      out.data = data.data() + lines * static_cast<std::size_t>(i);
      return out;
    };
    const double all = static_cast<double>(lines * sizeof(Line) + starts.size() * 4);
    measure(std::string(kind) + " k=" + std::to_string(k) + " L=" + std::to_string(table_bits) +
                (states > 1 ? ", " + std::to_string(states) + " states" : ""),
            8 * all / (static_cast<double>(rows_) * cols_), copies, 1, view_of,
            [&](const TupleMatrix& m, const Inputs& in, float* y) {
              return launch_tuple(m, limits_, in, y, clock_.stream());
            });
  }

  cudaDeviceProp device_;
  DeviceLimits limits_;
  Clock clock_;
  cublasHandle_t blas_ = nullptr;
  int rows_ = 0, cols_ = 0;
  std::vector<float> x_;        // [kMostBatch][cols]
  std::vector<double> cublas_;  // seconds by batch
  std::string pipes_;
  Report results_, left_out_;
};

int run(const std::string& folder, const std::string& sanitizer) {
  Bench bench(open_device());
  bench.measure_pipes();
  constexpr int kShapes[][2] = {{4096, 4096}, {14336, 4096}, {4096, 14336},   // of an 8B model
                                {8192, 8192}, {28672, 8192}, {8192, 28672}};  // of a 70B model
  for (const auto& [rows, cols] : kShapes) bench.measure_shape(rows, cols);
  const auto path = folder + "/" + bench.file_name();
  std::FILE* file = std::fopen((path + ".new").c_str(), "w");
  const auto text = bench.json(sanitizer);
  if (file == nullptr || std::fputs(text.c_str(), file) < 0 || std::fclose(file) != 0 ||
      std::rename((path + ".new").c_str(), path.c_str()) != 0) {
    std::fprintf(stderr, "gpu-check: cannot write %s\n", path.c_str());
    return 1;
  }
  std::printf("wrote %s\n", path.c_str());
  return 0;
}

}  // namespace
}  // namespace nearplane::cuda

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "measure RESULTS_FOLDER SANITIZER_RESULT\n");
    return 1;
  }
  return nearplane::cuda::run(arguments[1], arguments[2]);
}
