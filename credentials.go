package swarm

import (
	"context"

	"github.com/swarm-go/swarm/internal/dockerconfig"
)

// DockerConfigAuth finds the credentials that "docker login" has stored, where the
// docker command would find them, anew each time: in DOCKER_AUTH_CONFIG; else with
// the credential helper that config.json names for the registry (credHelpers), or
// for all (credsStore); else in config.json itself (auths). Where config.json is
// missing, or has none of these three, the helper of the system is asked, if it is
// in PATH: pass on Linux where there is a program of that name, else secretservice;
// osxkeychain on macOS, wincred on Windows. The folder of config.json is
// DOCKER_CONFIG, or .docker in the home folder; who else may read it is not looked
// at, as the docker command does not.
//
// The registry of the image alone decides, by its exact name: no other registry's
// credentials are ever taken. A helper that fails is an error, also where the file
// has credentials too. So is a damaged file, or a damaged entry for this registry;
// old entries by URL that name the same registry and differ; and a helper that
// answers for another server: here the docker command sends none, or any of them.
//
// Helpers run without a shell, for 30 seconds at most. They inherit the environment
// and the folder of this process. Nothing of what they print is in an error.
func DockerConfigAuth() AuthSource { return dockerConfigAuth(osEnviron()) }

func dockerConfigAuth(env environ) AuthSource {
	return func(ctx context.Context, registry string) (*RegistryAuth, error) {
		found, err := dockerconfig.Lookup(ctx, env.getenv, env.home, registry)
		if found == nil || err != nil {
			return nil, err
		}
		return &RegistryAuth{Username: found.Username, Password: found.Password, ServerAddress: found.ServerAddress,
			IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken}, nil
	}
}
