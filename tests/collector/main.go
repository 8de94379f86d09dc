// The OTLP receiver of the OpenTelemetry Collector, which writes down the traces that it gets, a
// line of JSON for each request.
//
//	collector LISTEN FILE [AUTHORIZATION]
//
// If it has an AUTHORIZATION, it refuses whoever does not show it.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

type anything = map[string]any

func run(listen, path, authorization string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var writing sync.Mutex
	take := func(ctx context.Context, traces ptrace.Traces) error {
		shown := client.FromContext(ctx).Metadata.Get("authorization")
		if authorization != "" && !slices.Contains(shown, authorization) {
			return consumererror.NewPermanent(errors.New("who are you?"))
		}
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		if err != nil {
			return err
		}
		writing.Lock()
		defer writing.Unlock()
		_, err = file.Write(append(line, '\n'))
		return err
	}
	traces, err := consumer.NewTraces(take)
	if err != nil {
		return err
	}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	http := anything{"endpoint": listen, "include_metadata": true}
	said := anything{"protocols": anything{"http": http}}
	if err := confmap.NewFromStringMap(said).Unmarshal(config); err != nil {
		return err
	}
	settings := receiver.Settings{
		ID:                component.NewID(factory.Type()),
		TelemetrySettings: componenttest.NewNopTelemetrySettings(),
	}
	ctx := context.Background()
	otlp, err := factory.CreateTraces(ctx, settings, config, traces)
	if err != nil {
		return err
	}
	if err := otlp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	select {}
}

func main() {
	arguments := append(os.Args[1:], "", "", "")
	if err := run(arguments[0], arguments[1], arguments[2]); err != nil {
		log.Fatal(err)
	}
}
