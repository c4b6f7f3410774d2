from stitchkit.cli.main import main

main()
