// nearplane: the command line. One file per subcommand; exit codes: 0 done, 2 bad input or machine refused,
// 3 numerical trouble beyond repair, 130 stopped by the user.
#include <fmt/format.h>

#include <cstdlib>
#include <exception>

#include "command.h"
#include "console.h"
#include "nearplane/error.h"
#include "nearplane/machine.h"

namespace {

int exit_code(nearplane::ErrorCode code) {
  switch (code) {
    case nearplane::ErrorCode::cancelled:
      return 130;
    case nearplane::ErrorCode::numerical:
      return 3;
    default:
      return 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace nearplane::cli;
  CLI::App program(
      "Quantizes the weights of language models as a closest-vector problem on a lattice; runs, measures "
      "and ships the result.",
      "nearplane");
  program.require_subcommand(1);
  program.set_version_flag("--version", "nearplane " NEARPLANE_VERSION);
  Action action;
  add_plan(program, action);
  add_quantize(program, action);
  add_eval(program, action);
  add_run(program, action);
  add_inspect(program, action);
  add_export(program, action);
  add_prove(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  }
  catch_interrupts();
  try {
    if (const char* target = std::getenv("NEARPLANE_TARGET")) nearplane::use_vector_target(target);
    return action();
  } catch (const nearplane::Error& error) {
    fmt::print(stderr, "nearplane: {}\n", error.what());
    return exit_code(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "nearplane: out of memory\n");
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nearplane: internal error: {}\n", error.what());
    return 70;
  }
}
