// Products of tiles of bytes (AMX): whether the machine has them, and whether they may be used.
#pragma once

namespace nearplane {

/// Whether this machine has tile products of bytes and the system lets this process use them; asked once.
bool has_tiles();
/// Whether kernels take them: as has_tiles() says, until forbidden. They also need the vectors of AVX-512 (avx3_dl).
bool use_tiles();
void allow_tiles(bool allowed);

}  // namespace nearplane
