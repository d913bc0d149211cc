// Providers of Terraform that make nothing: terraform-provider-hcloud and
// terraform-provider-digitalocean, whichever name it is started by.
//
// They have the resources of deploy/terraform with the attributes that the
// providers' documentation names. What a provider would say of a machine is
// made up; its addresses are those of MOCK_ADDRESSES, "NAME=ADDRESS ...", or
// 192.0.2.x. A token is wanted, and nothing is sent anywhere.
package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

var (
	text    = tftypes.String
	number  = tftypes.Number
	boolean = tftypes.Bool
	texts   = tftypes.Set{ElementType: tftypes.String}
	numbers = tftypes.Set{ElementType: tftypes.Number}
	labels  = tftypes.Map{ElementType: tftypes.String}
)

type kind struct {
	required, optional, computed map[string]tftypes.Type
	blocks                       map[string]kind
}

type types = map[string]tftypes.Type

var kinds = map[string]kind{
	"hcloud_ssh_key": {
		required: types{"name": text, "public_key": text},
		optional: types{"labels": labels},
		computed: types{"id": text, "fingerprint": text},
	},
	"hcloud_firewall": {
		optional: types{"name": text, "labels": labels},
		computed: types{"id": text},
		blocks: map[string]kind{"rule": {
			required: types{"direction": text, "protocol": text},
			optional: types{"port": text, "source_ips": texts,
				"destination_ips": texts, "description": text},
		}},
	},
	"hcloud_server": {
		required: types{"name": text, "server_type": text},
		optional: types{"image": text, "location": text, "labels": labels,
			"ssh_keys":  tftypes.List{ElementType: text},
			"user_data": text, "firewall_ids": numbers, "backups": boolean},
		computed: types{"id": text, "ipv4_address": text,
			"ipv6_address": text, "status": text},
	},
	"digitalocean_ssh_key": {
		required: types{"name": text, "public_key": text},
		computed: types{"id": text, "fingerprint": text},
	},
	"digitalocean_tag": {
		required: types{"name": text},
		computed: types{"id": text, "total_resource_count": number},
	},
	"digitalocean_firewall": {
		required: types{"name": text},
		optional: types{"droplet_ids": numbers, "tags": texts},
		computed: types{"id": text, "status": text, "created_at": text},
		blocks: map[string]kind{
			"inbound_rule": {
				required: types{"protocol": text},
				optional: types{"port_range": text, "source_addresses": texts,
					"source_droplet_ids": numbers, "source_tags": texts},
			},
			"outbound_rule": {
				required: types{"protocol": text},
				optional: types{"port_range": text,
					"destination_addresses": texts, "destination_tags": texts},
			},
		},
	},
	"digitalocean_droplet": {
		required: types{"name": text, "size": text, "image": text},
		optional: types{"region": text, "ipv6": boolean, "ssh_keys": texts,
			"tags": texts, "user_data": text, "monitoring": boolean},
		computed: types{"id": text, "ipv4_address": text,
			"ipv6_address": text, "status": text},
	},
}

func (k kind) block() *tfprotov5.SchemaBlock {
	block := &tfprotov5.SchemaBlock{}

	for how, of := range map[string]types{"r": k.required, "o": k.optional, "c": k.computed} {
		for name, t := range of {
			block.Attributes = append(block.Attributes, &tfprotov5.SchemaAttribute{
				Name: name, Type: t,
				Required: how == "r", Optional: how == "o", Computed: how == "c",
			})
		}
	}

	for name, nested := range k.blocks {
		block.BlockTypes = append(block.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: nested.block(),
			Nesting: tfprotov5.SchemaNestedBlockNestingModeSet,
		})
	}

	return block
}

func (k kind) object() tftypes.Type {
	return (&tfprotov5.Schema{Block: k.block()}).ValueType()
}

type provider struct {
	name, variable string
}

var tokenOnly = kind{optional: types{"token": text}}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	resources := map[string]*tfprotov5.Schema{}

	for name, k := range kinds {
		if strings.HasPrefix(name, p.name+"_") {
			resources[name] = &tfprotov5.Schema{Block: k.block()}
		}
	}

	return &tfprotov5.GetProviderSchemaResponse{
		Provider:        &tfprotov5.Schema{Block: tokenOnly.block()},
		ResourceSchemas: resources,
	}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func mistake(what string) []*tfprotov5.Diagnostic {
	return []*tfprotov5.Diagnostic{{
		Severity: tfprotov5.DiagnosticSeverityError, Summary: what,
	}}
}

func (p *provider) ConfigureProvider(_ context.Context, r *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	config, err := attributes(r.Config, tokenOnly.object())
	if err != nil {
		return nil, err
	}

	if config["token"].IsNull() && os.Getenv(p.variable) == "" {
		return &tfprotov5.ConfigureProviderResponse{
			Diagnostics: mistake("no token, nor " + p.variable),
		}, nil
	}

	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	t := kinds[r.TypeName].object()

	value, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, err
	}

	state, err := tfprotov5.NewDynamicValue(t, value)

	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

func (p *provider) ReadResource(_ context.Context, r *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: r.CurrentState}, nil
}

func attributes(value *tfprotov5.DynamicValue, t tftypes.Type) (map[string]tftypes.Value, error) {
	parsed, err := value.Unmarshal(t)
	if err != nil || parsed.IsNull() {
		return nil, err
	}

	result := map[string]tftypes.Value{}

	return result, parsed.As(&result)
}

// What isn't known of a new resource is known after it is made; one that is
// there keeps it.

func (p *provider) PlanResourceChange(_ context.Context, r *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	k := kinds[r.TypeName]
	t := k.object()

	planned, err := attributes(r.ProposedNewState, t)
	if err != nil || planned == nil {
		return &tfprotov5.PlanResourceChangeResponse{PlannedState: r.ProposedNewState}, err
	}

	for name, of := range k.computed {
		if planned[name].IsNull() {
			planned[name] = tftypes.NewValue(of, tftypes.UnknownValue)
		}
	}

	state, err := tfprotov5.NewDynamicValue(t, tftypes.NewValue(t, planned))

	return &tfprotov5.PlanResourceChangeResponse{PlannedState: &state}, err
}

func (p *provider) ApplyResourceChange(_ context.Context, r *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	k := kinds[r.TypeName]
	t := k.object()

	made, err := attributes(r.PlannedState, t)
	if err != nil || made == nil {
		return &tfprotov5.ApplyResourceChangeResponse{NewState: r.PlannedState}, err
	}

	var machine string
	if err := made["name"].As(&machine); err != nil {
		return nil, err
	}

	for name, of := range k.computed {
		if made[name].IsKnown() {
			continue
		}

		if of.Is(tftypes.Number) {
			made[name] = tftypes.NewValue(of, 1)
		} else {
			made[name] = tftypes.NewValue(of, madeUp(name, machine))
		}
	}

	state, err := tfprotov5.NewDynamicValue(t, tftypes.NewValue(t, made))

	return &tfprotov5.ApplyResourceChangeResponse{NewState: &state}, err
}

func madeUp(attribute, machine string) string {
	hash := fnv.New32()
	hash.Write([]byte(machine))
	sum := hash.Sum32()

	switch attribute {
	case "id":
		return fmt.Sprint(sum)

	case "ipv4_address":
		for _, pair := range strings.Fields(os.Getenv("MOCK_ADDRESSES")) {
			if address, found := strings.CutPrefix(pair, machine+"="); found {
				return address
			}
		}

		return fmt.Sprintf("192.0.2.%d", 1+sum%250)

	case "ipv6_address":
		return fmt.Sprintf("2001:db8::%x", sum%65536)
	}

	return attribute + " of " + machine
}

func (p *provider) ImportResourceState(context.Context, *tfprotov5.ImportResourceStateRequest) (*tfprotov5.ImportResourceStateResponse, error) {
	return &tfprotov5.ImportResourceStateResponse{Diagnostics: mistake("nothing to import")}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p *provider) ReadDataSource(context.Context, *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	return &tfprotov5.ReadDataSourceResponse{Diagnostics: mistake("no data")}, nil
}

func main() {
	p := &provider{"hcloud", "HCLOUD_TOKEN"}
	source := "hetznercloud/hcloud"

	if strings.Contains(filepath.Base(os.Args[0]), "digitalocean") {
		p = &provider{"digitalocean", "DIGITALOCEAN_TOKEN"}
		source = "digitalocean/digitalocean"
	}

	err := tf5server.Serve("registry.terraform.io/"+source, func() tfprotov5.ProviderServer { return p })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
